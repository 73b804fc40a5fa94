// The gradient of an activation.
//
//   dX = dY f'(x)
//
//   KIND 0 relu:     f' = 1 where v > 0, else 0; v may be x or y
//   KIND 1 gelu:     f' = P(x) + x p(x), p the standard normal density
//   KIND 2 gelu, tanh form: f' = s + x s (1 - s) 2 sqrt(2 / pi) (1 + 3 * 0.044715 x^2)
//   KIND 3 sigmoid:  f' = s (1 - s), s = y where FROM_OUTPUT is 1
//   KIND 4 silu:     f' = s + x s (1 - s)
//   KIND 5 clip:     f' = 1 where low < v < high, else 0; v may be x or y
//
// Shapes: v (x, or y), dY, dX: Elem[end or more]. Elements begin to end are read and written.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y.
// Numerics: f32; P as in activation.wgsl.

alias Elem = vec4<f32>; // @spec
const KIND: u32 = 0u; // @spec
const FROM_OUTPUT: u32 = 0u; // @spec

struct Params {
  begin: u32,
  end: u32,
  low: f32,
  high: f32,
}

@group(0) @binding(0) var<storage, read> v: array<Elem>;
@group(0) @binding(1) var<storage, read> dY: array<Elem>;
@group(0) @binding(2) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

fn logistic(a: Elem) -> Elem {
  return 1.0 / (1.0 + exp(min(-a, Elem(87.0))));
}

fn gelu_slope(a: Elem) -> Elem {
  let z = abs(a) * 0.70710677;
  let t = 1.0 / (1.0 + 0.3275911 * z);
  let series = ((((1.0614054 * t - 1.4531521) * t + 1.4214138) * t - 0.28449672) * t + 0.25482959) *
    t;
  let bell = exp(-z * z);
  let tail = 0.5 * series * bell;
  return select(tail, 1.0 - tail, a > Elem(0.0)) + 0.3989423 * a * bell;
}

fn slope(a: Elem) -> Elem {
  if (KIND == 0u) { // @static
    return select(Elem(0.0), Elem(1.0), a > Elem(0.0));
  }
  if (KIND == 1u) { // @static
    return gelu_slope(a);
  }
  if (KIND == 2u) { // @static
    let s = logistic(1.5957692 * (a + 0.044715 * a * a * a));
    return s + a * s * (1.0 - s) * (1.5957692 + 0.21406442 * a * a);
  }
  if (KIND == 3u) { // @static
    if (FROM_OUTPUT == 1u) { // @static
      return a * (1.0 - a);
    }
    let s = logistic(a);
    return s * (1.0 - s);
  }
  if (KIND == 4u) { // @static
    let s = logistic(a);
    return s + a * s * (1.0 - s);
  }
  let inside = (a > Elem(params.low)) & (a < Elem(params.high));
  return select(Elem(0.0), Elem(1.0), inside);
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.end) {
    dX[i] = dY[i] * slope(v[i]);
  }
}
