// Normalises the columns of a matrix by a table of batch_norm_fold.wgsl.
//
//   y = ((x - origin) - centre) * scale + shift, then max(y, 0) with RELU
//
// Shapes: x, y: f32[rows, columns], row-major; table: f32[4, block]; all as groups, of four elements
// where rows * columns is a multiple of four, else of one. All counts are in groups.
// A block is a whole number of rows; an invocation owns GROUPS groups of every block of one chunk,
// and keeps their part of the table.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y. One read of x, one write of y.

alias Group = vec4<f32>; // @spec
const GROUPS: u32 = 1u; // @spec

override WORKGROUP: u32 = 8u;
override RELU: bool = false;

struct Params {
  count: u32,
  block: u32,
  chunk: u32,
  invocations: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Group>;
@group(0) @binding(1) var<storage, read> table: array<Group>;
@group(0) @binding(2) var<storage, read_write> y: array<Group>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.invocations) {
    return;
  }
  let block = params.block;
  let lanes = block / GROUPS;
  let place = at % lanes * GROUPS;
  let chunk = at / lanes * params.chunk;
  let end = min(params.count, chunk + params.chunk);
  var origin: array<Group, GROUPS>;
  var centre: array<Group, GROUPS>;
  var scale: array<Group, GROUPS>;
  var shift: array<Group, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    origin[g] = table[place + g];
    centre[g] = table[block + place + g];
    scale[g] = table[2u * block + place + g];
    shift[g] = table[3u * block + place + g];
  }
  for (var e = chunk + place; e < end; e += block) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      if (e + g < end) {
        let value = ((x[e + g] - origin[g]) - centre[g]) * scale[g] + shift[g];
        y[e + g] = select(value, max(value, Group(0.0)), RELU);
      }
    }
  }
}
