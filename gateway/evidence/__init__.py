"""Evidence of one message in one file, `bcx-evidence/1`: written, read, and checked offline.

Pure: no clock, no chance, no network, no database. A bundle is a function of what goes into it, so whoever
has the parts makes the same bytes again; the verifier does exactly that with everything it cannot check by
a signature: the container, the list of files, the page for people and the guide.

`parts` what a bundle holds · `container` the zip · `files` parts to files and back · `bundle` all of it
written · `chain` log entries as steps · `page`, `guide`, `words` for people · `verify` and the checks beside it
"""
