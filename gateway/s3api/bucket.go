package s3api

import (
	"encoding/xml"
	"errors"
	"net/http"

	"github.com/lethe-vault/lethe/recording"
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

// versioningConfiguration is empty where versioning was never switched on.
type versioningConfiguration struct {
	XMLName xml.Name `xml:"http://s3.amazonaws.com/doc/2006-03-01/ VersioningConfiguration"`
}

// getBucketVersioning says that a bucket has S3's versioning off: deletion
// leaves no marker here, and erases every version: GetBucketVersioning.
func (f *Front) getBucketVersioning(w http.ResponseWriter, r *http.Request, in verified) error {
	if _, err := f.gateway.Bucket(r.Context(), in.caller, in.bucket); err != nil {
		return err
	}
	return writeXML(w, http.StatusOK, versioningConfiguration{})
}

// createBucketConfiguration is what a client may say of a bucket to be. Any
// region is this one.
type createBucketConfiguration struct {
	XMLName            xml.Name `xml:"CreateBucketConfiguration"`
	LocationConstraint string

	// What Lethe has none of.
	Location, Bucket, Tags *struct{}
}

// createBucket makes a bucket with the settings of new ones: CreateBucket.
func (f *Front) createBucket(w http.ResponseWriter, r *http.Request, in verified) error {
	if err := in.bucketConfiguration(); err != nil {
		return err
	}
	err := f.gateway.CreateOwnBucket(r.Context(), in.caller, in.bucket)
	if errors.Is(err, recording.ErrDenied) {
		return f.madeAlready(r, in, err)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Location", "/"+string(in.bucket))
	return nil
}

// madeAlready tells a caller who may not make a bucket that it is there, if
// HeadBucket would. rclone makes sure of its bucket this way before it puts,
// and takes recording.ErrBucketExists for success.
func (f *Front) madeAlready(r *http.Request, in verified, denied error) error {
	if _, err := f.gateway.Bucket(r.Context(), in.caller, in.bucket); err != nil {
		return denied
	}
	return recording.ErrBucketExists
}

func (in verified) bucketConfiguration() error {
	if in.body.size == 0 {
		return in.body.none()
	}
	var c createBucketConfiguration
	if err := in.document(maxDocument, &c); err != nil {
		return err
	}
	if c.Location != nil || c.Bucket != nil || c.Tags != nil {
		return errNotImplemented
	}
	return nil
}

// deleteBucket deletes a bucket with nothing in it: DeleteBucket.
func (f *Front) deleteBucket(w http.ResponseWriter, r *http.Request, in verified) error {
	if err := f.gateway.DeleteBucket(r.Context(), in.caller, in.bucket); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}
