//go:build js && wasm

// Command lares-play is the page "Try to lose a film" as WebAssembly: it puts
// one function, laresPlay, into the page, which takes a command as JSON and
// gives what there is to see as JSON. The rest is security/trem/sim.
package main

import (
	"encoding/json"
	"syscall/js"

	"github.com/lares-drm/lares/security/trem/sim"
)

func main() {
	parties, err := sim.NewParties()
	if err != nil {
		panic(err) // there is nobody else to tell
	}
	stage, err := sim.NewStage(parties)
	if err != nil {
		panic(err) // there is nobody else to tell
	}
	js.Global().Set("laresPlay", js.FuncOf(func(_ js.Value, args []js.Value) any {
		answer, err := do(stage, args)
		if err != nil {
			return js.Global().Get("Error").New(err.Error())
		}
		return answer
	}))
	js.Global().Call("dispatchEvent", js.Global().Get("Event").New("lares-play"))
	select {} // the page calls, until it is closed
}

func do(stage *sim.Stage, args []js.Value) (string, error) {
	var c sim.Command
	if len(args) == 1 {
		if err := json.Unmarshal([]byte(args[0].String()), &c); err != nil {
			return "", err
		}
	}
	v, err := stage.Do(c)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(v)
	return string(data), err
}
