package content

import "iter"

// Listed are all files that content.json lists.
func (m *Manifest) Listed() iter.Seq[File] {
	return func(yield func(File) bool) {
		for _, f := range []*File{&m.MPD, m.HLS, m.Poster} {
			if f != nil && !yield(*f) {
				return
			}
		}
		for i := range m.Subtitles {
			if !yield(m.Subtitles[i].File) {
				return
			}
		}
		for _, f := range m.Files {
			if !yield(f) {
				return
			}
		}
		for i := range m.Tracks {
			t := &m.Tracks[i]
			if !yield(t.Init) {
				return
			}
			for k := range t.Segments {
				if !yield(t.Segments[k].File) {
					return
				}
			}
		}
	}
}
