// Merges the segments of a row product and turns its states into distances or cosines.
//
// Shapes: x: vec4<f32>[rows, quads]; first: f32[segments, rows]; second: u32[segments, rows];
//   value: f32[rows]; index: u32[rows].
// Bindings: x, first, second, value, index. Dispatch: gridFor(rows, 8), folded from x into y.
// KIND 0 divides by |x| (at least 1e-12), the others change the sign. Segments are visited in
// ascending order, so equal values give the lowest column.

override KIND: u32 = 0u;

struct Params {
  rows: u32,
  quads: u32,
  segments: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> first: array<f32>;
@group(0) @binding(2) var<storage, read> second: array<u32>;
@group(0) @binding(3) var<storage, read_write> value: array<f32>;
@group(0) @binding(4) var<storage, read_write> index: array<u32>;
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
  var best_index = second[row];
  for (var s = 1u; s < params.segments; s++) {
    let other = first[s * params.rows + row];
    if (other > best) {
      best = other;
      best_index = second[s * params.rows + row];
    }
  }
  var factor = -1.0;
  if (KIND == 0u) {
    var squares = vec4<f32>(0.0);
    for (var q = 0u; q < params.quads; q++) {
      let four = x[row * params.quads + q];
      squares = fma(four, four, squares);
    }
    factor = 1.0 / max(sqrt(squares.x + squares.y + squares.z + squares.w), 1e-12);
  }
  value[row] = best * factor;
  index[row] = best_index;
}
