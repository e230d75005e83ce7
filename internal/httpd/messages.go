package httpd

import (
	"embed"
	"fmt"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"sync"
)

// Everything that pages say is in messages/en*.txt, so that another language is other
// files. Source: local, docs/spec/home-api.md, "Messages".

//go:embed messages/*.txt
var messageFiles embed.FS

// spokenFiles are of the language that pages speak.
const spokenFiles = "messages/en*.txt"

// english is the catalogue, read once.
var english = sync.OnceValue(func() map[string]string {
	text, err := messageText()
	if err != nil {
		return nil // it is embedded; a test reads it
	}
	out, _ := parseMessages(text) // a test holds that there is no error
	return out
})

// messageText is the files one behind the other: a key is in one of them.
func messageText() (string, error) {
	names, err := fs.Glob(messageFiles, spokenFiles)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range names {
		data, err := messageFiles.ReadFile(name)
		if err != nil {
			return "", err
		}
		b.Write(append(data, '\n'))
	}
	return b.String(), nil
}

var messageKey = regexp.MustCompile(`^[a-z][a-zA-Z0-9_/-]*(\.[a-zA-Z0-9_/-]+)*$`)

// parseMessages reads lines of KEY = TEXT. A line that begins with # is a note for
// who translates; a key stands once.
func parseMessages(text string) (map[string]string, error) {
	out := map[string]string{}
	for n, line := range strings.Split(text, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		key, words, ok := strings.Cut(line, " = ")
		if !ok || !messageKey.MatchString(key) || strings.TrimSpace(words) == "" {
			return out, fmt.Errorf("messages: line %d is not KEY = TEXT", n+1)
		}
		if _, twice := out[key]; twice {
			return out, fmt.Errorf("messages: line %d: %s stands twice", n+1, key)
		}
		out[key] = words
	}
	return out, nil
}

// say is the message of a key, with {0}, {1} and so on replaced by args. Of a key
// that is not there it is the key; a test holds that all are.
func say(key string, args ...any) string {
	text, ok := english()[key]
	if !ok {
		return key
	}
	for i, a := range args {
		text = strings.ReplaceAll(text, "{"+strconv.Itoa(i)+"}", fmt.Sprint(a))
	}
	return text
}

// Say is the message of a key for who speaks on a page from outside this package, such as
// a device agent.
func Say(key string, args ...any) string { return say(key, args...) }

// SayMany is Say of one thing, KEY.one, or of n, KEY.many.
func SayMany(key string, n uint64) string { return many(key, n) }

// maybe is say, or "" where there is no such message.
func maybe(key string) string {
	if _, ok := english()[key]; !ok {
		return ""
	}
	return say(key)
}

// many says KEY.one of one thing and KEY.many of n.
func many(key string, n uint64) string {
	if n == 1 {
		return say(key + ".one")
	}
	return say(key+".many", n)
}
