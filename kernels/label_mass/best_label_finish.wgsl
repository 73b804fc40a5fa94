// The best label of each row, from those of all segments.
//
// Shapes: first: f32[segments, rows]; second: u32[segments, rows]; index: i32[rows];
//   cosine: f32[rows].
// Bindings: first, second, index, cosine. Dispatch: gridFor(rows, 8), folded from x into y.
// Segments are visited in ascending order, so equal values give the lowest label.

struct Params {
  rows: u32,
  segments: u32,
}

@group(0) @binding(0) var<storage, read> first: array<f32>;
@group(0) @binding(1) var<storage, read> second: array<u32>;
@group(0) @binding(2) var<storage, read_write> index: array<i32>;
@group(0) @binding(3) var<storage, read_write> cosine: array<f32>;
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
  var best = first[row];
  var found = second[row];
  for (var s = 1u; s < params.segments; s++) {
    let other = first[s * params.rows + row];
    if (other > best) {
      best = other;
      found = second[s * params.rows + row];
    }
  }
  index[row] = i32(found);
  cosine[row] = best;
}
