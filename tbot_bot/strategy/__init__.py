"""Pure decisions over one symbol: the three strategies, their indicators and exit kernels.

Every kernel (`step`, `*_push`, the exits) is written so that it runs live as it stands and compiles
unchanged over arrays with the same result to the last bit: NamedTuples of floats and integers,
`+ - * /`, `sqrt`, comparisons and branches; no call of one kernel from another.
"""
