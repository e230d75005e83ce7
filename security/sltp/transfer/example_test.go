package transfer_test

import (
	"fmt"

	"github.com/lares-drm/lares/license/ident"
	"github.com/lares-drm/lares/security/sltp/transfer"
)

// A source prepares a hand-over: the records are committed first, then the
// message is sent, and a repetition of the request is the same message.
func Example() {
	source := transfer.NewSource(ident.Device{1}, ident.Incarnation{9})
	body, err := transfer.Body{Op: transfer.OpAllowance, Chain: [][]byte{{0xaa}}, Amounts: map[uint64]uint64{1: 2}, Bundle: []byte{0xbb}}.Encode()
	if err != nil {
		fmt.Println(err)
		return
	}
	request := ident.Request{7}
	x, records, err := source.Prepare(transfer.Order{Dst: ident.Device{2}, Request: request, Body: body})
	if err != nil {
		fmt.Println(err)
		return
	}
	again, _ := source.ByRequest(ident.Device{2}, request).(*transfer.XFER)
	fmt.Println(len(records), x.TID.Seq, again.Hash() == x.Hash(), len(source.Open()))
	// Output: 1 1 true 1
}
