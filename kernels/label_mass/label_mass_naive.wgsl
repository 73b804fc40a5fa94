// Cosines of rows with a segment of labels, folded into one state, one row per invocation: the
// permanent baseline.
//
//   KIND 0: first = max_j z_j, second = bits of sum_j exp(z_j - first), z_j = scale * x.y_j
//   KIND 1: first = max_j x.y_j, second = the lowest j that has it
//
// Shapes: x: f32[rows, k]; y: f32[columns, k]; first: f32[segments, rows];
//   second: u32[segments, rows]. Row-major. Columns are a first part and others of one size; a
//   segment has columns of one part. label_mass_finish.wgsl and best_label_finish.wgsl merge them.
// Bindings: x, y, first, second. Dispatch: gridFor(segments * rows, 64), folded from x into y.
// Variants: 1. naive (this), 2. ../_row_product_register.wgsl, 3. ../_row_product_panels.wgsl,
//   4. ../_row_product_tiled.wgsl; figures in docs/kernels/products.md.

override KIND: u32 = 0u;

struct Params {
  rows: u32,
  k: u32,
  first_columns: u32, // columns of the first part
  part_columns: u32, // columns of each other part
  first_segments: u32, // segments of the first part
  part_segments: u32, // segments of each other part
  segments: u32,
  segment: u32, // columns of one segment
  scale: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read_write> first: array<f32>;
@group(0) @binding(3) var<storage, read_write> second: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item >= params.segments * params.rows) {
    return;
  }
  let row = item % params.rows;
  let segment = item / params.rows;
  var begin = segment * params.segment;
  var end = params.first_columns;
  if (segment >= params.first_segments) {
    let other = segment - params.first_segments;
    let start = params.first_columns + other / params.part_segments * params.part_columns;
    begin = start + other % params.part_segments * params.segment;
    end = start + params.part_columns;
  }
  end = min(begin + params.segment, end);
  var top = -3.4028234e38;
  var mass = 0.0;
  var found = begin;
  for (var j = begin; j < end; j++) {
    var sum = 0.0;
    for (var l = 0u; l < params.k; l++) {
      sum = fma(x[row * params.k + l], y[j * params.k + l], sum);
    }
    if (KIND == 0u) {
      sum *= params.scale;
    }
    let higher = max(top, sum);
    found = select(found, j, sum > top);
    mass = mass * exp(top - higher) + exp(sum - higher);
    top = higher;
  }
  first[item] = top;
  second[item] = select(found, bitcast<u32>(mass), KIND == 0u);
}
