package config

import (
	"slices"
	"strings"
)

// clientEnv are the variables of the other commands.
var clientEnv = []string{"LETHE_CONFIG", "LETHE_ADDR", "LETHE_TOKEN", "LETHE_CA", "LETHE_S3", "LETHE_ACCESS_KEY", "LETHE_SECRET_KEY"}

// Stray finds variables that are no setting and look like one misspelt. They
// are no problem: a platform sets variables of its own, as Kubernetes does for
// a service of our name.
func Stray(environ []string) (found []Problem) {
	for _, v := range environ {
		name, _, _ := strings.Cut(v, "=")
		if near := nearestEnv(name); near != "" {
			found = append(found, Problem{From: name, Problem: "not a setting, and without effect; did you mean " + near + "?"})
		}
	}
	return found
}

// nearestEnv gives the variable that is meant by one that is none; "" if name
// is one, or like none.
func nearestEnv(name string) (near string) {
	if !strings.HasPrefix(name, envPrefix) || slices.Contains(clientEnv, name) {
		return ""
	}
	least := 3
	for _, k := range keys {
		if d := distance(name, k.Env); d < least {
			near, least = k.Env, d
		}
	}
	if near == name {
		return ""
	}
	return near
}
