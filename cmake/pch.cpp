// The one translation unit of the shared precompiled header; also stands in for a room of headers only.
