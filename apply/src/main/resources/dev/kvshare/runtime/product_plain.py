
  # Appended to a source where oneDNN cannot be called (GPUs, builds without it): [..., in] x [out, in] -> [..., out]
  def product(self: __torch__.Ops, x: Tensor, weight: Tensor, bias: Optional[Tensor]) -> Tensor:
    return torch.linear(x, weight, bias)
