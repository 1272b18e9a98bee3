// Package redteam attacks a whole vault as someone would who has a copy of everything
// that it ever wrote: every version of every blob, every dump of the database and all
// of its write-ahead log, the logs, the certificates, and whatever rights the key
// provider grants today. Its test is a script, to be read from redteam_test.go on.
package redteam
