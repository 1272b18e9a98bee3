package test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// permitted are licences that a program under Apache-2.0 may be linked from,
// each known by a passage of its own. The Mozilla licence stays with its files.
var permitted = []string{
	"Apache License Version 2.0",
	"Licensed under the Apache License, Version 2.0",
	"Permission is hereby granted, free of charge, to any person obtaining a copy",
	"Redistribution and use in source and binary forms, with or without modification, are permitted",
	"Permission to use, copy, modify, and/or distribute this software for any purpose",
	"This is free and unencumbered software released into the public domain",
	"Mozilla Public License, version 2.0",
	"Mozilla Public License Version 2.0",
}

// refused are titles of licences that would bind the whole program. They are
// spelt as in the titles: the Mozilla licence mentions the first in prose.
var refused = []string{
	"GNU AFFERO GENERAL PUBLIC LICENSE",
	"GNU GENERAL PUBLIC LICENSE",
	"GNU LESSER GENERAL PUBLIC LICENSE",
	"Business Source License",
	"Server Side Public License",
	"Commons Clause",
}

// licenceFile matches what modules call the file of their terms.
var licenceFile = regexp.MustCompile(`(?i)^(un)?(licen[cs]e|copying)`)

func TestLicences(t *testing.T) {
	modules := linkedModules(t)
	if len(modules) == 0 {
		t.Fatal("no module is linked into cmd/lethe")
	}
	for path, dir := range modules {
		if err := checkLicence(dir); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// linkedModules gives the modules of others in cmd/lethe: path to directory.
func linkedModules(t *testing.T) map[string]string {
	out, err := exec.Command("go", "list", "-deps", "-json=Module", module+"cmd/lethe").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	modules := make(map[string]string)
	for d := json.NewDecoder(strings.NewReader(string(out))); d.More(); {
		var p struct {
			Module *struct {
				Path, Dir string
				Main      bool
			}
		}
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if p.Module != nil && !p.Module.Main { // nil in the standard library
			modules[p.Module.Path] = p.Module.Dir
		}
	}
	return modules
}

// checkLicence says why the terms in a module's directory do not permit
// linking it, or that it has none.
func checkLicence(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	found := false
	for _, e := range entries {
		if e.IsDir() || !licenceFile.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return err
		}
		if err := checkTerms(string(text)); err != nil {
			return fmt.Errorf("%s: %w", e.Name(), err)
		}
		found = true
	}
	if !found {
		return errors.New("no licence file")
	}
	return nil
}

func checkTerms(text string) error {
	text = strings.ReplaceAll(text, "\n>", "\n") // one quotes the terms it is under
	text = strings.Join(strings.Fields(text), " ")
	for _, title := range refused {
		if strings.Contains(text, title) {
			return fmt.Errorf("it is under the %s", title)
		}
	}
	for _, passage := range permitted {
		if strings.Contains(text, passage) {
			return nil
		}
	}
	return errors.New("terms not known here; read them")
}

// The test must see what it is there to see.
func TestLicencesRefused(t *testing.T) {
	mit := "Permission is hereby granted, free of charge, to any person\nobtaining a copy"
	for text, ok := range map[string]bool{
		mit: true,
		"Mozilla Public License Version 2.0 … the GNU Affero General Public License, Version 3.0": true,
		"GNU AFFERO GENERAL PUBLIC LICENSE\n  Version 3, 19 November 2007":                        false,
		"Business Source License 1.1\n" + mit:                                                     false,
		"All rights reserved.":                                                                    false,
		"":                                                                                        false,
	} {
		if err := checkTerms(text); (err == nil) != ok {
			t.Errorf("checkTerms(%q) = %v, want permitted: %v", text, err, ok)
		}
	}
}
