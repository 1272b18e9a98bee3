package awsstore

import (
	"net"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
)

// newClient bounds what it takes to connect. How long the store may stand still
// after that is bounded by patience. It trusts what AWS_CA_BUNDLE names, too.
func newClient() *awshttp.BuildableClient {
	return awshttp.NewBuildableClient().
		WithDialerOptions(func(d *net.Dialer) { d.Timeout = 5 * time.Second }).
		WithTransportOptions(func(t *http.Transport) {
			t.TLSHandshakeTimeout = 5 * time.Second
			t.IdleConnTimeout = time.Minute
			t.MaxIdleConnsPerHost = 128
			t.WriteBufferSize = 32 << 10
			t.ReadBufferSize = 32 << 10
			t.DisableCompression = true // a body is what was stored, whatever it declares to be
		})
}
