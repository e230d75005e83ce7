package home

import (
	"context"
	"errors"
	"testing"

	"github.com/fsnotify/fsnotify"
)

// What the system tells is taken from it whether or not anybody listens now, and is one
// piece of news: who is about to have another folder watched does not listen.
func TestLibrary_NewsWaitForNobody(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	w := &fsnotify.Watcher{Events: make(chan fsnotify.Event), Errors: make(chan error)}
	told := notifier{w}.changes(ctx)
	lost := errors.New("lost")
	w.Events <- fsnotify.Event{Op: fsnotify.Write}
	w.Errors <- lost
	w.Events <- fsnotify.Event{Op: fsnotify.Create}
	w.Errors <- lost
	if got := <-told; !got.names || !got.writes || !errors.Is(got.lost, lost) {
		t.Errorf("%+v", got)
	}
	w.Events <- fsnotify.Event{Op: fsnotify.Chmod}
	if got := <-told; got.names || !got.writes || got.lost != nil {
		t.Errorf("what was told is told again: %+v", got)
	}
	cancel()
	if (notifier{}).changes(ctx) != nil {
		t.Error("a system that does not tell has news")
	}
}
