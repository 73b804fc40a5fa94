// Adds up the slices of a weight gradient, in their order, and drops the channels of padding.
//
//   y[r, c] = sum over s of parts[s, r, c]
//
// Shapes: parts: f32[slices, rows, padded]; y: f32[count], the first rows of [rows, channels],
//   channels <= padded. Row-major.
// Bindings: parts, y. Dispatch: gridFor(count, 64), folded from x into y. Accumulator: f32.

struct Params {
  count: u32, // elements of y
  slices: u32,
  rows: u32,
  channels: u32,
  padded: u32,
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  if (index >= params.count) {
    return;
  }
  let at = index / params.channels * params.padded + index % params.channels;
  let size = params.rows * params.padded;
  var sum = 0.0;
  for (var s = 0u; s < params.slices; s++) {
    sum += parts[s * size + at];
  }
  y[index] = sum;
}
