// An activation of every element.
//
//   KIND 0 relu:     y = max(x, 0)
//   KIND 1 gelu:     y = x P(x), P the standard normal distribution function
//   KIND 2 gelu, tanh form: y = x s(2 sqrt(2 / pi) (x + 0.044715 x^3)), s the logistic function
//   KIND 3 sigmoid:  y = s(x) = 1 / (1 + exp(-x))
//   KIND 4 silu:     y = x s(x)
//   KIND 5 clip:     y = min(max(x, low), high)
//
// Shapes: x, y: Elem[end or more]. Elements begin to end of both are read and written.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y.
// Numerics: f32. P takes the error function by Abramowitz and Stegun, "Handbook of Mathematical
// Functions", 7.1.26, which is within 1.5e-7 of it, so P is within 7.5e-8 and the rounding of f32.
// The tanh form is exact, since (1 + tanh(u)) / 2 = s(2 u).

alias Elem = vec4<f32>; // @spec
const KIND: u32 = 0u; // @spec

struct Params {
  begin: u32,
  end: u32,
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// The exponential stays finite.
fn logistic(v: Elem) -> Elem {
  return 1.0 / (1.0 + exp(min(-v, Elem(87.0))));
}

fn normal_distribution(v: Elem) -> Elem {
  let z = abs(v) * 0.70710677;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let series = ((((1.0614054 * t - 1.4531521) * t + 1.4214138) * t - 0.28449672) * t + 0.25482959) *
    t;
  let tail = 0.5 * series * exp(-z * z);
  return select(tail, 1.0 - tail, v > Elem(0.0));
}

fn activate(v: Elem) -> Elem {
  if (KIND == 0u) { // @static
    return max(v, Elem(0.0));
  }
  if (KIND == 1u) { // @static
    return v * normal_distribution(v);
  }
  if (KIND == 2u) { // @static
    return v * logistic(1.5957692 * (v + 0.044715 * v * v * v));
  }
  if (KIND == 3u) { // @static
    return logistic(v);
  }
  if (KIND == 4u) { // @static
    return v * logistic(v);
  }
  return clamp(v, Elem(params.low), Elem(params.high));
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.end) {
    y[i] = activate(x[i]);
  }
}
