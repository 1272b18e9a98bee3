package s3api

import (
	"encoding/xml"
	"net/http"
)

// region is the one Lethe names; it accepts whichever a client signs for.
const region = "us-east-1"

// headBucket reports whether the caller may see a bucket: HeadBucket.
func (f *Front) headBucket(w http.ResponseWriter, r *http.Request, in verified) error {
	if _, err := f.gateway.Bucket(r.Context(), in.caller, in.bucket); err != nil {
		return err
	}
	w.Header().Set("X-Amz-Bucket-Region", region)
	return nil
}

// locationConstraint is empty for us-east-1, as S3 has it.
type locationConstraint struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ LocationConstraint"`
}

// getBucketLocation tells clients that ask which region to sign for: GetBucketLocation.
func (f *Front) getBucketLocation(w http.ResponseWriter, r *http.Request, in verified) error {
	if _, err := f.gateway.Bucket(r.Context(), in.caller, in.bucket); err != nil {
		return err
	}
	return writeXML(w, http.StatusOK, locationConstraint{})
}
