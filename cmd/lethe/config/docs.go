package config

import (
	"fmt"
	"io"
	"strings"
)

const preface = `# Settings of lethe serve

A setting is a flag, an environment variable, or a key of one YAML file, which
` + "`--config FILE` or `LETHE_CONFIG`" + ` names; the earlier of these counts, and last the
default. An empty variable is not given. Paths of files are taken from where the
server was started.

A dot in a key is a section of the file:

    listen:
      s3: 0.0.0.0:9000
    store:
      bucket: recordings

A key that does not exist is refused, and so is a secret in the file: it belongs
in a file of its own, which only the server may read. A password in the URL of the
catalog is a secret too. ` + "`lethe config check`" + ` says all that is wrong, without
reaching any other server; ` + "`lethe config show`" + ` prints every value and where it was
given.

This page is what ` + "`lethe config docs`" + ` prints.

`

// WriteReference writes what there is to know of every key, as Markdown.
func WriteReference(w io.Writer) error {
	var b strings.Builder
	b.WriteString(preface)
	b.WriteString("| key | flag, variable | value | default | |\n|---|---|---|---|---|\n")
	for _, k := range keys {
		path := code(k.Path)
		if k.SecretIn != "" {
			path += ", not in the file"
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s. |\n", path, k.ways(), k.Is.name, code(k.Default), sentence(k.Doc))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (k Key) ways() string {
	flag := k.Flag
	if flag != "" {
		flag = code("--" + flag)
	}
	return strings.TrimPrefix(flag+", "+code(k.Env), ", ")
}

func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + s + "`"
}

// sentence begins with a capital letter.
func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] }
