package main

import (
	"cmp"

	"github.com/lethe-vault/lethe/cmd/lethe/config"
	"github.com/lethe-vault/lethe/crypto/hashivault"
	"github.com/lethe-vault/lethe/gateway"
)

// vaultConfig says where Vault is, and gives the process those identities that
// its roles need and no other, whatever else is configured.
func vaultConfig(s config.Config) hashivault.Config {
	v := s.Vault
	c := hashivault.Config{Address: v.Address, Namespace: v.Namespace, Mount: v.Mount, Data: login(v, v.Data)}
	if s.Has(string(gateway.Eraser)) {
		c.Eraser, c.Provisioner = login(v, v.Eraser), login(v, v.Provisioner)
		if c.Data == nil {
			c.Data = c.Eraser // which may decrypt, too
		}
	}
	return c
}

// login is how an identity logs in, or else with the token that serves for all
// of them. nil: there is none.
func login(v config.Vault, id config.Identity) hashivault.Login {
	switch {
	case id.RoleID != "":
		return hashivault.AppRole{Mount: v.AppRoleMount, RoleID: id.RoleID, SecretIDFile: id.SecretIDFile}
	case id.JWTRole != "":
		return hashivault.JWT{Mount: v.JWTMount, Role: id.JWTRole, File: cmp.Or(id.JWTFile, v.Data.JWTFile)}
	case v.TokenFile != "":
		return hashivault.TokenFile(v.TokenFile)
	case v.Token != "":
		return hashivault.Token(v.Token)
	}
	return nil
}
