// Sums of the rows of each class, and how many they are, by columns: an invocation owns four columns
// of all classes and adds the rows to them one after the other, in memory. Nobody else writes there,
// so nothing is atomic and the order is that of the rows. The work does not grow with the classes.
//
//   sums[s, k, c] = sum over the rows n of slice s with labels[n] = k of (x[n, c] - shift[c])
//   counts[s, k] = how many those are
//
// Shapes: x: f32[rows, columns], row-major, bound twice (scalars and vec4, the same memory);
// labels: i32[rows], others than 0 to classes - 1 skipped; shift: f32[columns];
// sums: f32[slices, classes, columns], bound as scalars (sums) or as vec4 (sums4), the other one a
// spare; counts: f32[slices, classes].
// Dispatch: gridFor(slices * ceil(columns / 4), WORKGROUP); the grid folds x into y.

override WORKGROUP: u32 = 8u;
override VECTOR: bool = true; // columns is a multiple of 4

struct Params {
  rows: u32,
  columns: u32,
  classes: u32,
  slice_rows: u32,
  slices: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> labels: array<i32>;
@group(0) @binding(3) var<storage, read> shift: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>; // !VECTOR
@group(0) @binding(5) var<storage, read_write> sums4: array<vec4<f32>>; // VECTOR
@group(0) @binding(6) var<storage, read_write> counts: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  let quads = (params.columns + 3u) / 4u;
  if (at >= params.slices * quads) {
    return;
  }
  let column = at % quads * 4u;
  let slice = at / quads;
  let begin = slice * params.slice_rows;
  let end = min(params.rows, begin + params.slice_rows);
  let width = min(4u, params.columns - column);
  let start = slice * params.classes;
  for (var k = start; k < start + params.classes; k++) {
    let target_at = k * params.columns + column;
    if (VECTOR) {
      sums4[target_at >> 2u] = vec4<f32>(0.0);
    } else {
      for (var c = 0u; c < width; c++) {
        sums[target_at + c] = 0.0;
      }
    }
    if (column == 0u) {
      counts[k] = 0.0;
    }
  }
  let origin = vec4<f32>(
    shift[column],
    shift[min(column + 1u, params.columns - 1u)],
    shift[min(column + 2u, params.columns - 1u)],
    shift[min(column + 3u, params.columns - 1u)],
  );
  for (var n = begin; n < end; n++) {
    let label = labels[n];
    if (label >= 0 && u32(label) < params.classes) {
      let k = start + u32(label);
      let source_at = n * params.columns + column;
      let target_at = k * params.columns + column;
      if (VECTOR) {
        sums4[target_at >> 2u] += x4[source_at >> 2u] - origin;
      } else {
        for (var c = 0u; c < width; c++) {
          sums[target_at + c] += x[source_at + c] - origin[c];
        }
      }
      if (column == 0u) {
        counts[k] += 1.0;
      }
    }
  }
}
