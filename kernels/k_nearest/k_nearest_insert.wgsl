// Inserts a block of distances into the sorted k smallest of each row, one row per invocation: the
// second half of the permanent baseline.
//
// Shapes: distances: f32[rows, columns]; best: f32[.., k] and nearest: f32[.., k], rows row_begin
//   to row_begin + rows of them, ascending.
// Bindings: distances, best, nearest. SOURCE says where the k values so far are:
//   0 nowhere (all 3.4028234e38), 1 in best, 2 in nearest.
// Dispatch: gridFor(rows, 64), folded from x into y.

struct Params {
  rows: u32,
  row_begin: u32,
  columns: u32,
  k: u32,
  source: u32,
}

@group(0) @binding(0) var<storage, read> distances: array<f32>;
@group(0) @binding(1) var<storage, read> best: array<f32>;
@group(0) @binding(2) var<storage, read_write> nearest: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (wid.y * grid.x + wid.x) * 64u + lane;
  if (row >= params.rows) {
    return;
  }
  let start = (params.row_begin + row) * params.k;
  if (params.source != 2u) {
    for (var i = 0u; i < params.k; i++) {
      var value = 3.4028234e38;
      if (params.source == 1u) {
        value = best[start + i];
      }
      nearest[start + i] = value;
    }
  }
  for (var j = 0u; j < params.columns; j++) {
    let value = distances[row * params.columns + j];
    var place = params.k;
    while (place > 0u && value < nearest[start + max(place, 1u) - 1u]) {
      if (place < params.k) {
        nearest[start + place] = nearest[start + place - 1u];
      }
      place -= 1u;
    }
    if (place < params.k) {
      nearest[start + place] = value;
    }
  }
}
