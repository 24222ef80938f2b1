// Command checklog checks an exported audit log with golang.org/x/mod/sumdb/note and tlog only:
//
//	checklog DIR VKEY
//
// It opens the checkpoint, rebuilds the tree from the entry bundles, compares every hash tile that
// tlog.NewTiles names, and proves inclusion and consistency out of the tiles as stored.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"io/ioutil"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

type hashes []tlog.Hash

func (h hashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	found := make([]tlog.Hash, len(indexes))
	for i, at := range indexes {
		if at >= int64(len(h)) {
			return nil, fmt.Errorf("hash %d asked of %d", at, len(h))
		}
		found[i] = h[at]
	}
	return found, nil
}

// tilePath turns tlog's tile/8/<L>/<N> into tlog-tiles' tile/<L>/<N>.
func tilePath(t tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(t.Path(), "tile/8/")
}

// files reads tiles as stored, for proofs whose every hash tlog checks against the root.
type files string

func (f files) Height() int { return height }

func (f files) SaveTiles([]tlog.Tile, [][]byte) {}

func (f files) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	found := make([][]byte, len(wanted))
	for i, t := range wanted {
		raw, err := ioutil.ReadFile(filepath.Join(string(f), tilePath(t)))
		if err != nil {
			return nil, err
		}
		found[i] = raw
	}
	return found, nil
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func fail(format string, args ...interface{}) {
	must(fmt.Errorf(format, args...))
}

func openCheckpoint(dir, vkey string) tlog.Tree {
	verifier, err := note.NewVerifier(vkey)
	must(err)
	raw, err := ioutil.ReadFile(filepath.Join(dir, "checkpoint"))
	must(err)
	opened, err := note.Open(raw, note.VerifierList(verifier))
	must(err)
	lines := strings.Split(opened.Text, "\n")
	if len(lines) != 4 || lines[0] != verifier.Name() {
		fail("the checkpoint is not of %s", verifier.Name())
	}
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	root, err := base64.StdEncoding.DecodeString(lines[2])
	must(err)
	tree := tlog.Tree{N: size}
	if copy(tree.Hash[:], root) != tlog.HashSize {
		fail("the root is %d bytes", len(root))
	}
	return tree
}

func rebuild(dir string, size int64) (hashes, int64) {
	var stored hashes
	var at, bundles int64
	for at < size {
		width := size - at
		if width > 256 {
			width = 256
		}
		path := tilePath(tlog.Tile{H: height, L: 0, N: at / 256, W: int(width)})
		path = strings.Replace(path, "tile/0/", "tile/entries/", 1)
		raw, err := ioutil.ReadFile(filepath.Join(dir, path))
		must(err)
		for ; width > 0; width-- {
			if len(raw) < 2 || len(raw) < 2+int(binary.BigEndian.Uint16(raw)) {
				fail("%s breaks off at entry %d", path, at)
			}
			length := int(binary.BigEndian.Uint16(raw))
			added, err := tlog.StoredHashes(at, raw[2:2+length], stored)
			must(err)
			stored = append(stored, added...)
			raw = raw[2+length:]
			at++
		}
		if len(raw) != 0 {
			fail("%s has more entries than its width", path)
		}
		bundles++
	}
	return stored, bundles
}

// compareTiles checks the files byte for byte; of a partial tile, NewTiles also names each narrower
// width it had on the way, and those must be a prefix of the file.
func compareTiles(dir string, size int64, stored hashes) (compared, prefixes int) {
	for _, t := range tlog.NewTiles(height, 0, size) {
		full := t
		if whole := int(size>>(height*uint(t.L)) - t.N<<height); whole < 1<<height {
			full.W = whole
		}
		raw, err := ioutil.ReadFile(filepath.Join(dir, tilePath(full)))
		must(err)
		want, err := tlog.ReadTileData(t, stored)
		must(err)
		if !bytes.HasPrefix(raw, want) || (t == full && len(raw) != len(want)) {
			fail("%s differs at width %d", tilePath(full), t.W)
		}
		if t == full {
			compared++
		} else {
			prefixes++
		}
	}
	return compared, prefixes
}

func prove(tree tlog.Tree, reader tlog.HashReader, stored hashes) (proofs int) {
	for at := int64(0); at < tree.N; at += 1 + tree.N/97 {
		proof, err := tlog.ProveRecord(tree.N, at, reader)
		must(err)
		leaf := stored[tlog.StoredHashIndex(0, at)]
		must(tlog.CheckRecord(proof, tree.N, tree.Hash, at, leaf))
		older, err := tlog.TreeHash(at+1, stored)
		must(err)
		growth, err := tlog.ProveTree(tree.N, at+1, reader)
		must(err)
		must(tlog.CheckTree(growth, tree.N, tree.Hash, at+1, older))
		proofs += 2
	}
	return proofs
}

func main() {
	dir, vkey := os.Args[1], os.Args[2]
	tree := openCheckpoint(dir, vkey)
	stored, bundles := rebuild(dir, tree.N)
	root, err := tlog.TreeHash(tree.N, stored)
	must(err)
	if root != tree.Hash {
		fail("the entries do not lead to the signed root")
	}
	compared, prefixes := compareTiles(dir, tree.N, stored)
	proofs := prove(tree, tlog.TileHashReader(tree, files(dir)), stored)
	fmt.Printf("size %d bundles %d tiles %d prefixes %d proofs %d\n", tree.N, bundles, compared, prefixes, proofs)
}
