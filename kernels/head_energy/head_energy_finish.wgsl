// Merges the log-sum-exp states of all segments of classes.
//
//   value = (m + log(sum_s mass_s exp(top_s - m))) / scale,  m = max_s top_s
//
// Shapes: first: f32[segments, rows], tops; second: u32[segments, rows], bits of the masses;
//   value: f32[rows].
// Bindings: first, second, value. Dispatch: gridFor(rows, 8), folded from x into y.

struct Params {
  rows: u32,
  segments: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> first: array<f32>;
@group(0) @binding(1) var<storage, read> second: array<u32>;
@group(0) @binding(2) var<storage, read_write> value: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (wid.y * grid.x + wid.x) * 8u + lane;
  if (row >= params.rows) {
    return;
  }
  var top = first[row];
  var mass = bitcast<f32>(second[row]);
  for (var s = 1u; s < params.segments; s++) {
    let other = first[s * params.rows + row];
    let higher = max(top, other);
    let added = bitcast<f32>(second[s * params.rows + row]) * exp(other - higher);
    mass = mass * exp(top - higher) + added;
    top = higher;
  }
  value[row] = (top + log(mass)) / params.scale;
}
