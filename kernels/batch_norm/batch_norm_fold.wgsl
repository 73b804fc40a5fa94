// What batch normalisation does to each column, as a table for the pass that does it.
//
//   table = origin, centre, scale, shift: y = ((x - origin) - centre) * scale + shift
//
// Of a batch's statistics: origin = x[0], centre = mean - x[0], scale = inverse * weight; x - origin
// is exact where the mean is large. FROZEN, of running statistics: origin = 0, centre = mean,
// scale = weight / sqrt(variance + epsilon). shift = bias.
//
// Shapes: x: f32[rows, columns]; centre, spread (inverse or variance), weight, bias: f32[columns];
// table: f32[4, phases, columns], the same for every phase.
// Dispatch: gridFor(phases * columns, WORKGROUP); the grid folds x into y.

override WORKGROUP: u32 = 8u;
override FROZEN: bool = false;

struct Params {
  columns: u32,
  count: u32, // phases * columns
  epsilon: f32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> centre: array<f32>;
@group(0) @binding(2) var<storage, read> spread: array<f32>;
@group(0) @binding(3) var<storage, read> weight: array<f32>;
@group(0) @binding(4) var<storage, read> bias: array<f32>;
@group(0) @binding(5) var<storage, read_write> table: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.count) {
    return;
  }
  let column = at % params.columns;
  var origin = 0.0;
  var inverse = spread[column];
  if (FROZEN) {
    inverse = 1.0 / sqrt(inverse + params.epsilon);
  } else {
    origin = x[column];
  }
  table[at] = origin;
  table[params.count + at] = centre[column];
  table[2u * params.count + at] = inverse * weight[column];
  table[3u * params.count + at] = bias[column];
}
