package config

import (
	"testing"
	"time"
)

func TestBackup(t *testing.T) {
	const day = 24 * time.Hour
	for written, want := range map[string]Backup{
		"none":   {Told: true},
		"1d/30d": {true, day, 30 * day},
		"6h/36h": {true, 6 * time.Hour, 36 * time.Hour},
	} {
		c := new(Config)
		f := backup(func(c *Config) *Backup { return &c.Backups.Vault }).bind(c)
		if err := f.Set(written); err != nil || c.Backups.Vault != want || f.String() != written {
			t.Errorf("%q is %+v, %v, and prints %q", written, c.Backups.Vault, err, f)
		}
	}
	for _, written := range []string{"daily", "1d", "1d/", "/30d", "0s/30d", "1d/-1h", "1d/30d/1y", "None"} {
		if err := backup(func(c *Config) *Backup { return &c.Backups.Vault }).bind(new(Config)).Set(written); err == nil {
			t.Errorf("%q was taken", written)
		}
	}
}
