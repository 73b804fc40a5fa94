// Packs the kept rows of images: the baseline. One row per invocation, scalar loads; each counts by
// itself how many rows of its image are kept before it.
//
//   y[offsets[n] + k] = x[n, t] of the k-th token t of image n with keep[n, t] = 1
//   y[r] = 0 for rows r from offsets[images] on
//
// for the images from `first` on up to `last`, and the zeros where these are all.
//
// Shapes: x: f32[images, tokens, columns], row-major; keep: i32[images, tokens], 0 or 1;
// offsets: i32[images + 1]; y: f32[rows, columns].
// Dispatch: gridFor(max((last - first) tokens, rows), 64); the grid folds x into y. Loop turns of an
// invocation: tokens + 2 columns.

struct Params {
  images: u32,
  tokens: u32,
  columns: u32,
  rows: u32,
  first: u32,
  last: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> keep: array<i32>;
@group(0) @binding(2) var<storage, read> offsets: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + local;
  let token = params.first * params.tokens + item;
  if (token < params.last * params.tokens && keep[token] == 1) {
    let image = token / params.tokens;
    var row = u32(offsets[image]);
    for (var t = image * params.tokens; t < token; t++) {
      row += u32(keep[t]);
    }
    if (row < params.rows) {
      for (var c = 0u; c < params.columns; c++) {
        y[row * params.columns + c] = x[token * params.columns + c];
      }
    }
  }
  if (item < params.rows && item >= u32(offsets[params.images])) {
    for (var c = 0u; c < params.columns; c++) {
      y[item * params.columns + c] = 0.0;
    }
  }
}
