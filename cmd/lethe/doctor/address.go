package doctor

import (
	"net"
	"net/url"
	"strings"
)

// insecure reports whether a URL is of plain HTTP to another machine.
func insecure(address string) bool {
	u, err := url.Parse(address)
	return err != nil || u.Scheme != "https" && !loopback(u.Hostname())
}

// loopback reports whether a host is this machine. "" is all of its addresses,
// which others reach too.
func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// hostOf is the host of HOST:PORT, or of HOST.
func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return strings.Trim(address, "[]")
	}
	return host
}

// storeURL is where the store of a bucket speaks S3; "" is not known.
func (s Subject) storeURL() string {
	at := s.Config.Store
	switch {
	case at.Endpoint != "" && at.Insecure:
		return "http://" + at.Endpoint
	case at.Endpoint != "":
		return "https://" + at.Endpoint
	case at.Region != "":
		return "https://s3." + at.Region + ".amazonaws.com"
	}
	return ""
}
