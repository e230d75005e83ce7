// Package file implements the file binding of the license relay protocol
// (interconnect/lrp, docs/spec/lrp.md section 13): frames in a folder, such as on a
// stick that is carried from a car to its house and back, hours or days later.
//
// Each side writes files and reads the other's; neither has to be there at the same
// time, and a file comes into being whole or not at all. The folder is not trusted:
// what is not a frame, is damaged, too large, a link or a device is passed over and left
// alone. It reads nothing outside the folder and starts nothing. The promise: what
// was left is durable when Leave returns, and is answered once, however often either
// side is cut off.
package file
