// One step of stochastic gradient descent over a flat arena of parameters, in place.
//
//   g = scale * gradients + weight_decay * parameters      (the decay on the leading elements alone)
//   momentum = factor * momentum + (1 - dampening) * g     (HAS_MOMENTUM)
//   d = momentum, or g + factor * momentum with NESTEROV, or g without momentum
//   parameters = parameters - learning_rate * d
//
// Shapes: all f32[count * WIDTH], read as f32 or, where the lengths are multiples of four, as vec4;
// factor: f32[1], multiplied into the scale where HAS_FACTOR.
// Dispatch: gridFor(count, WORKGROUP); the grid folds x into y. Each element is read and written by
// one invocation. Memory: four reads or writes an element without momentum, five with.
// Source: torch.optim.SGD.

alias Group = vec4<f32>; // @spec

override WORKGROUP: u32 = 8u;
override HAS_MOMENTUM: bool = true;
override NESTEROV: bool = false;
override HAS_FACTOR: bool = false;

struct Params {
  count: u32, // groups
  decayed: u32, // leading groups that decay
  learning_rate: f32,
  momentum: f32,
  keep: f32, // 1 - dampening
  weight_decay: f32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> gradients: array<Group>;
@group(0) @binding(1) var<storage, read> factor: array<f32>;
@group(0) @binding(2) var<storage, read_write> parameters: array<Group>;
@group(0) @binding(3) var<storage, read_write> momentum: array<Group>;
@group(1) @binding(0) var<uniform> params: Params;

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
  var scale = params.scale;
  if (HAS_FACTOR) {
    scale *= factor[0];
  }
  let p = parameters[i];
  let decay = select(0.0, params.weight_decay, i < params.decayed);
  var d = scale * gradients[i] + decay * p;
  if (HAS_MOMENTUM) {
    let m = params.momentum * momentum[i] + params.keep * d;
    momentum[i] = m;
    if (NESTEROV) {
      d += params.momentum * m;
    } else {
      d = m;
    }
  }
  parameters[i] = p - params.learning_rate * d;
}
