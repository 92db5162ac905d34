
  # Appended to a source where oneDNN can be called: [..., in] x [out, in] -> [..., out]. For float32 torch.linear goes to
  # MKL, which on CPUs of other makers than its own leaves half of the vector unit idle: for two rows or more oneDNN takes
  # less than half of the time there (85 against 200 GFLOP/s on one Zen 5 core). One row is bound by memory, where MKL's
  # matrix-vector product is as good.
  def product(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    if x.dtype == 6 and torch.numel(x) > torch.size(x, -1):
      y = ops.mkldnn._linear_pointwise(x, weight, bias, "none", annotate(List[Optional[number]], []), "")
    else:
      y = torch.linear(x, weight, bias)
    return y
