package faults_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

// act is a deed, prepared: do does it, and settle says what is wrong with what is
// left, given what the client heard. After settle it is as if it had been done.
type act struct {
	do     func() error
	settle func(heard error) error
}

// acts prepares each deed. It runs before anything fails.
var acts = map[string]func(*deeds) act{
	"put":         (*deeds).put,
	"first put":   (*deeds).firstPut,
	"broken put":  (*deeds).brokenPut,
	"upload":      (*deeds).upload,
	"broken part": (*deeds).brokenPart,
	"abort":       (*deeds).abort,
	"get":         (*deeds).get,
	"erase":       (*deeds).erase,
	"epoch":       (*deeds).epoch,
	"sweep":       (*deeds).sweep,
	"settle":      (*deeds).settleSubject,
	"refile":      (*deeds).refile,
	"settings":    (*deeds).settings,
	"drop bucket": (*deeds).dropBucket,
}

// isText reads a recording to its end; nil if it is that text.
func (c client) isText(ctx context.Context, name, text string) error {
	body, err := c.open(ctx, name, "")
	if err != nil {
		return err
	}
	defer body.Close()
	return equals(body, strings.NewReader(text))
}

// isAbsent is nil if there is no recording of that name.
func (c client) isAbsent(ctx context.Context, name string) error {
	body, err := c.open(ctx, name, "")
	if err == nil {
		body.Close()
		return errors.New(name + " is there")
	}
	if status, _ := refusal(err); status != 404 {
		return err
	}
	return nil
}

// wholeOrAbsent is for an upload of which the client heard this; again repeats it.
func (c client) wholeOrAbsent(ctx context.Context, name, text string, heard error, again func() error) error {
	err := c.isText(ctx, name, text)
	if status, _ := refusal(err); heard != nil && status == 404 {
		err = nil
	}
	if err == nil && heard != nil {
		err = again()
	}
	return errors.Join(err, c.isText(ctx, name, text))
}

func (d *deeds) put() act {
	name := d.fresh("put")
	text := strings.Repeat("text of "+name+" ", 10_000)
	d.kept[name] = text
	do := func() error { return d.client.putText(d.t.Context(), name, text) }
	return act{do, func(heard error) error { return d.client.wholeOrAbsent(d.t.Context(), name, text, heard, do) }}
}

// firstPut is the first of a tenant, which needs directories and slots.
func (d *deeds) firstPut() act {
	c := d.tenant(d.fresh("client"))
	do := func() error {
		c.client = newClient(d.t, d.s.S3, c.keys, "calls")
		return c.putText(d.t.Context(), "first", "hello")
	}
	return act{do, func(heard error) error {
		c.client = newClient(d.t, d.s.S3, c.keys, "calls")
		return c.wholeOrAbsent(d.t.Context(), "first", "hello", heard, do)
	}}
}

func (d *deeds) brokenPut() act {
	name := d.fresh("broken")
	return act{
		do:     func() error { return d.sendWrong("/calls/" + name) },
		settle: func(error) error { return d.client.isAbsent(d.t.Context(), name) },
	}
}

// upload sends two parts, one of them twice, and completes.
func (d *deeds) upload() act {
	name := d.fresh("upload")
	one, two := strings.Repeat("one ", 20_000), strings.Repeat("two ", 10_000)
	d.kept[name] = one + two
	do := func() error {
		id, err := d.begin(name)
		if err != nil {
			return err
		}
		var parts []minio.CompletePart
		for n, text := range []string{"replaced", two, one} {
			part, err := d.part(name, id, 1+n%2, text)
			if err != nil {
				return err
			}
			parts = append(parts, part)
		}
		_, err = d.client.minio.CompleteMultipartUpload(d.t.Context(), "calls", name, id,
			[]minio.CompletePart{parts[2], parts[1]}, minio.PutObjectOptions{})
		return err
	}
	return act{do, func(heard error) error { return d.client.wholeOrAbsent(d.t.Context(), name, one+two, heard, do) }}
}

func (d *deeds) begin(name string) (id string, err error) {
	return d.client.minio.NewMultipartUpload(d.t.Context(), "calls", name, minio.PutObjectOptions{})
}

func (d *deeds) part(name, id string, number int, text string) (minio.CompletePart, error) {
	part, err := d.client.minio.PutObjectPart(d.t.Context(), "calls", name, id, number, strings.NewReader(text), int64(len(text)), minio.PutObjectPartOptions{})
	return minio.CompletePart{PartNumber: number, ETag: part.ETag}, err
}

func (d *deeds) brokenPart() act {
	name := d.fresh("broken")
	id, err := d.begin(name)
	d.must(err)
	return act{
		do: func() error { return d.sendWrong(fmt.Sprintf("/calls/%s?partNumber=1&uploadId=%s", name, id)) },
		settle: func(error) error {
			return errors.Join(d.client.minio.AbortMultipartUpload(d.t.Context(), "calls", name, id), d.client.isAbsent(d.t.Context(), name))
		},
	}
}

func (d *deeds) abort() act {
	name := d.fresh("aborted")
	id, err := d.begin(name)
	d.must(err)
	_, err = d.part(name, id, 1, "one")
	d.must(err)
	do := func() error { return d.client.minio.AbortMultipartUpload(d.t.Context(), "calls", name, id) }
	return act{do, func(heard error) error {
		if heard != nil {
			err := do()
			if _, code := refusal(err); err != nil && code != "NoSuchUpload" {
				return err
			}
		}
		if _, err := d.part(name, id, 2, "late"); err == nil {
			return errors.New("an aborted upload takes parts")
		}
		return d.client.isAbsent(d.t.Context(), name)
	}}
}

func (d *deeds) get() act {
	a := d.put()
	d.must(a.do())
	name := fmt.Sprintf("put-%d", d.serial.Load())
	do := func() error { return d.client.isText(d.t.Context(), name, d.kept[name]) }
	return act{do, func(heard error) error {
		if errors.Is(heard, errOther) || errors.Is(heard, io.EOF) {
			return heard
		}
		return do()
	}}
}

func (d *deeds) erase() act {
	name := d.fresh("erased")
	d.must(d.client.putText(d.t.Context(), name, "hello"))
	do := func() error { return d.client.remove(d.t.Context(), name) }
	return act{do, func(heard error) error {
		if err := d.client.isText(d.t.Context(), name, "hello"); err == nil && heard == nil {
			return errors.New("it was erased and can be read")
		} else if status, _ := refusal(err); err != nil && status != 404 {
			return err
		}
		return errors.Join(do(), d.client.isAbsent(d.t.Context(), name))
	}}
}

// sweep deletes what an erasure has left, which was broken off before it came to
// its blobs.
func (d *deeds) sweep() act {
	name := d.fresh("left")
	d.must(d.client.putText(d.t.Context(), name, "hello"))
	d.s.arm("eraseBlobs", `1*return("EIO")`)
	if err := d.client.remove(d.t.Context(), name); err == nil || !d.s.disarm("eraseBlobs") {
		d.t.Errorf("%s was erased with its blobs: %v", name, err)
	}
	do := func() error { return d.s.Lethe(nil, "sweep") }
	return act{do, func(error) error {
		return errors.Join(do(), d.client.isAbsent(d.t.Context(), name))
	}}
}

// erasure is what lethe says of one.
type erasure struct{ Erasure, State string }

// epoch erases a recording, and waits until its keys are destroyed.
func (d *deeds) epoch() act {
	name := d.fresh("epoch")
	d.must(d.client.putText(d.t.Context(), name, "hello"))
	erase := []string{"erase", "--tenant", "acme", "--recording", "calls/" + name}
	do := func() error {
		var e erasure
		if err := d.s.Lethe(&e, erase...); err != nil {
			return err
		}
		return d.untilDestroyed(e)
	}
	return act{do, func(heard error) error {
		if err := d.client.isText(d.t.Context(), name, "hello"); err == nil && heard == nil {
			return errors.New("it was erased and can be read")
		}
		return errors.Join(do(), d.client.isAbsent(d.t.Context(), name))
	}}
}

// untilDestroyed waits until the keys of an erasure are destroyed.
func (d *deeds) untilDestroyed(e erasure) error {
	for end := time.Now().Add(2 * time.Minute); e.State == "queued" || e.State == "punctured"; time.Sleep(200 * time.Millisecond) {
		if time.Now().After(end) {
			return fmt.Errorf("erasure %s is still %s", e.Erasure, e.State)
		}
		var list struct{ Erasures []erasure }
		if err := d.s.Lethe(&list, "erasure", "list", "--tenant", "acme", "--limit", "1000"); err != nil {
			return err
		}
		for _, now := range list.Erasures {
			if now.Erasure == e.Erasure {
				e.State = now.State
			}
		}
	}
	return nil
}

// settleSubject sweeps what an erased subject has left.
func (d *deeds) settleSubject() act {
	name := d.fresh("subject")
	number := fmt.Sprintf("+49301%07d", d.serial.Load())
	d.must(d.client.putAbout(d.t.Context(), name, "hello", number))
	d.must(d.s.Lethe(nil, "erase", "--tenant", "acme", "--subject", number))
	do := func() error { return d.s.Lethe(nil, "sweep") }
	return act{do, func(error) error {
		return errors.Join(do(), d.client.isAbsent(d.t.Context(), name))
	}}
}

// refile erases a subject of whom one of two recordings is held, and so is filed
// anew: that is read before and after, and the other no more.
func (d *deeds) refile() act {
	held, gone := d.fresh("held"), d.fresh("not-held")
	number := fmt.Sprintf("+49302%07d", d.serial.Load())
	for _, name := range []string{held, gone} {
		d.must(d.client.putAbout(d.t.Context(), name, "text of "+name, number))
	}
	d.must(d.s.Lethe(nil, "hold", "create", "--tenant", "acme", "--recording", "calls/"+held, "--reason", "case"))
	d.kept[held] = "text of " + held
	do := func() error {
		var e struct{ Refiled int64 }
		err := d.s.Lethe(&e, "erase", "--tenant", "acme", "--subject", number)
		if err == nil && e.Refiled != 1 {
			err = fmt.Errorf("%d recordings are filed anew", e.Refiled)
		}
		return err
	}
	return act{do, func(heard error) error {
		err := d.client.isText(d.t.Context(), held, d.kept[held])
		if heard != nil {
			err = errors.Join(err, do())
		}
		return errors.Join(err, d.client.isText(d.t.Context(), held, d.kept[held]), d.client.isAbsent(d.t.Context(), gone))
	}}
}

// settings makes a tenant, its bucket and a key. The first that fails ends it.
func (d *deeds) settings() act {
	tenant := d.fresh("client")
	var made tenantClient
	made.bucket = "calls"
	do := func() error {
		if err := d.s.Lethe(nil, "tenant", "create", tenant); err != nil {
			return err
		}
		if err := d.s.Lethe(nil, "bucket", "create", "--tenant", tenant, "calls"); err != nil {
			return err
		}
		return d.s.Lethe(&made.keys, "reader", "create", "--tenant", tenant, "all", "--bucket", "*", "--write")
	}
	return act{do, func(heard error) error {
		if heard == nil {
			return newClient(d.t, d.s.S3, made.keys, "calls").putText(d.t.Context(), "first", "hello")
		}
		return d.notMade(tenant)
	}}
}

// notMade checks that a tenant whose making failed is not there, or can be used
// like any other: its name is free, or its bucket and key can be made.
func (d *deeds) notMade(tenant string) error {
	err := d.s.Lethe(nil, "tenant", "create", tenant)
	if err != nil && !strings.Contains(err.Error(), "exist") {
		return err
	}
	err = d.s.Lethe(nil, "bucket", "create", "--tenant", tenant, "calls")
	if err != nil && !strings.Contains(err.Error(), "exist") {
		return err
	}
	var k tenantClient
	if err := d.s.Lethe(&k.keys, "reader", "create", "--tenant", tenant, "again", "--bucket", "*", "--write"); err != nil {
		return err
	}
	return newClient(d.t, d.s.S3, k.keys, "calls").putText(d.t.Context(), "first", "hello")
}

func (d *deeds) dropBucket() act {
	bucket := d.fresh("bucket")
	d.must(d.s.Lethe(nil, "bucket", "create", "--tenant", "acme", bucket))
	do := func() error { return d.client.minio.RemoveBucket(d.t.Context(), bucket) }
	return act{do, func(heard error) error {
		err := do()
		if _, code := refusal(err); heard == nil && code != "NoSuchBucket" || err != nil && code != "NoSuchBucket" {
			return fmt.Errorf("deleted again: %w", err)
		}
		return nil
	}}
}
