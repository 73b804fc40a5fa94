// One step of Adam or AdamW over a flat arena of parameters, in place.
//
//   g = scale * gradients + weight_decay * parameters           (Adam)
//   parameters = parameters * (1 - learning_rate * weight_decay) (DECOUPLED: AdamW)
//   m = beta1 m + (1 - beta1) g;  v = beta2 v + (1 - beta2) g^2
//   parameters -= learning_rate / (1 - beta1^t) * m / (sqrt(v / (1 - beta2^t)) + epsilon)
//
// the decay on the leading elements alone.
//
// Shapes: all f32[count * WIDTH], read as f32 or, where the lengths are multiples of four, as vec4;
// factor: f32[1], multiplied into the scale where HAS_FACTOR.
// Dispatch: gridFor(count, WORKGROUP); the grid folds x into y. Each element is read and written by
// one invocation: seven reads or writes of memory.
// Numerics: f32. The step t may change between replays, so 1 - beta^t is taken here, from the
// logarithms of the betas: as a series where beta^t is near one, so that no digits cancel.
// Source: torch.optim.Adam, torch.optim.AdamW.

alias Group = vec4<f32>; // @spec

override WORKGROUP: u32 = 8u;
override DECOUPLED: bool = false;
override HAS_FACTOR: bool = false;

struct Params {
  count: u32, // groups
  decayed: u32, // leading groups that decay
  learning_rate: f32,
  step: f32, // t, 1 at the first step
  log_beta1: f32,
  log_beta2: f32,
  beta1: f32,
  beta2: f32,
  rest1: f32, // 1 - beta1
  rest2: f32, // 1 - beta2
  epsilon: f32,
  weight_decay: f32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> gradients: array<Group>;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> parameters: array<Group>;
@group(0) @binding(3) var<storage, read_write> first: array<Group>;
@group(0) @binding(4) var<storage, read_write> second: array<Group>;
@group(1) @binding(0) var<uniform> params: Params;

// 1 - exp(-s) for s >= 0.
fn one_minus_exp(s: f32) -> f32 {
  if (s > 0.5) {
    return 1.0 - exp(-s);
  }
  // s - s^2/2 + s^3/6 - ..., the first term left out below 1e-9 of the sum.
  var sum = 1.0;
  for (var n = 9.0; n > 1.5; n -= 1.0) {
    sum = 1.0 - s / n * sum;
  }
  return s * sum;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (i >= params.count) {
    return;
  }
  let correction1 = one_minus_exp(-params.step * params.log_beta1);
  let correction2 = one_minus_exp(-params.step * params.log_beta2);
  var scale = params.scale;
  if (HAS_FACTOR) {
    scale *= factor[0];
  }
  var p = parameters[i];
  var g = scale * gradients[i];
  let decay = select(0.0, params.weight_decay, i < params.decayed);
  if (DECOUPLED) {
    p = p * (1.0 - params.learning_rate * decay);
  } else {
    g += decay * p;
  }
  let m = params.beta1 * first[i] + params.rest1 * g;
  let v = params.beta2 * second[i] + params.rest2 * (g * g);
  first[i] = m;
  second[i] = v;
  let root = sqrt(v) / sqrt(correction2) + params.epsilon;
  parameters[i] = p - params.learning_rate / correction1 * (m / root);
}
