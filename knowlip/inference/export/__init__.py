"""Models as ONNX files that run without PyTorch: towers, detectors and segmenters, in float and in int8.

`command` decides what a folder holds, `graph` writes and checks a graph, `towers` and `heads` say what goes into it,
`int8` makes a small one of it, `given` takes images of the user and `measured` says what int8 costs on them.
"""
