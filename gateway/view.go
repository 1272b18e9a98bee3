package gateway

import (
	"iter"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/lethe-vault/lethe/gateway/catalog"
	"github.com/lethe-vault/lethe/recording"
)

// view is what lay directly in a directory at one moment. It does not change.
type view struct {
	recordings []listed                    // by name
	places     map[recording.Version]int32 // in recordings
	dirs       []string
	names      map[catalog.Index]string // of dirs, whole, with "/" at their end
	bytes      int
}

// listed is what a listing tells of a recording.
type listed struct {
	name      string
	version   recording.Version
	recording recording.ID
	size      int64
	etag      string
	createdAt time.Time
	class     recording.Class
}

// child is a name directly in a directory: a recording, or a sub-directory.
type child struct {
	name string  // whole; a directory's ends in "/"
	in   *listed // nil: a sub-directory
}

func listedOf(in recording.Info) listed {
	return listed{string(in.Name), in.Version, in.ID, in.Size, in.ETag, in.CreatedAt, in.Class}
}

func (e *listed) info() recording.Info {
	return recording.Info{
		ID: e.recording, Version: e.version, Name: recording.Name(e.name),
		Size: e.size, ETag: e.etag, CreatedAt: e.createdAt, Class: e.class,
	}
}

// newView takes recordings, which it sorts, and the names of sub-directories.
func newView(recordings []listed, names map[catalog.Index]string) *view {
	v := &view{recordings: recordings, names: names, dirs: slices.Compact(slices.Sorted(maps.Values(names)))}
	slices.SortFunc(v.recordings, func(a, b listed) int { return strings.Compare(a.name, b.name) })
	v.places = make(map[recording.Version]int32, len(recordings))
	for i := range recordings {
		v.places[recordings[i].version] = int32(i)
	}
	v.bytes = v.count()
	return v
}

// What a view costs beside its texts.
const (
	viewBytes   = 500 // itself and its place on the shelf
	listedBytes = 170 // a recording, its share of places, and what the heap rounds up
	nameBytes   = 120 // a string in dirs, and its share of the map
)

func (v *view) count() int {
	n := viewBytes + len(v.recordings)*listedBytes
	for i := range v.recordings {
		n += len(v.recordings[i].name) + len(v.recordings[i].etag)
	}
	for _, name := range v.dirs {
		n += nameBytes + len(name)
	}
	return n
}

// cost is the memory a view takes, in bytes.
func (v *view) cost() int { return v.bytes }

func (v *view) empty() bool { return len(v.recordings)+len(v.dirs) == 0 }

// children gives all of a directory in the byte order of whole names.
func (v *view) children() iter.Seq[child] {
	return func(yield func(child) bool) {
		dirs := v.dirs
		for i := range v.recordings {
			in := &v.recordings[i]
			for len(dirs) > 0 && dirs[0] < in.name {
				if !yield(child{name: dirs[0]}) {
					return
				}
				dirs = dirs[1:]
			}
			if !yield(child{in.name, in}) {
				return
			}
		}
		for _, d := range dirs {
			if !yield(child{name: d}) {
				return
			}
		}
	}
}

// compare holds a view against the versions that a directory has now. It
// gives the recordings that stay, by name, and the versions that the view does
// not have.
func (v *view) compare(ids []recording.Version) (stay []listed, missing []recording.Version) {
	stays, n := make([]bool, len(v.recordings)), 0
	for _, id := range ids {
		at, ok := v.places[id]
		if !ok {
			missing = append(missing, id)
			continue
		}
		stays[at] = true
		n++
	}
	if n == len(v.recordings) {
		return v.recordings, missing
	}
	stay = make([]listed, 0, n)
	for i, in := range v.recordings {
		if stays[i] {
			stay = append(stay, in)
		}
	}
	return stay, missing
}

// common is what both views have.
func (v *view) common(o *view) *view {
	stay, _ := v.compare(slices.Collect(maps.Keys(o.places)))
	names := map[catalog.Index]string{}
	for index, name := range v.names {
		if _, ok := o.names[index]; ok {
			names[index] = name
		}
	}
	return newView(slices.Clone(stay), names)
}
