// Sums over the lists of ragged rows of what stands at one place of each: the gradients of a row that
// was put before each list, and of the rows that were added place by place.
//
//   sums[s, p] = sum over the lists n of slice s with more than p rows of dY[offsets[n] + n + p]
//   firsts[s] = sums[s, 0]
//
// Shapes: dY: Elem[rows, columns], row-major; offsets: i32[lists + 1], without the rows put before,
// so that a list has offsets[n + 1] - offsets[n] + 1 rows; sums: Elem[slices, positions, columns];
// firsts: Elem[slices, columns].
// Dispatch: gridFor(slices positions columns / GROUPS, WORKGROUP), GROUPS neighbouring elements for an
// invocation; the grid folds x into y.
// Accumulator: f32, the lists of a slice in their order.

override WORKGROUP: u32 = 8u;

alias Elem = vec4<f32>; // @spec
const GROUPS: u32 = 4u; // @spec elements of an invocation, a divisor of columns

struct Params {
  items: u32, // slices * positions * columns / GROUPS
  columns: u32, // in units of Elem
  positions: u32,
  lists: u32,
  slice: u32, // lists of a slice
}

@group(0) @binding(0) var<storage, read> dY: array<Elem>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> sums: array<Elem>;
@group(0) @binding(3) var<storage, read_write> firsts: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (item >= params.items) {
    return;
  }
  let columns = params.columns;
  let lanes = columns / GROUPS;
  let part = item / lanes;
  let column = (item - part * lanes) * GROUPS;
  let slice = part / params.positions;
  let place = part - slice * params.positions;
  let first = slice * params.slice;
  let end = min(params.lists, first + params.slice);
  var sum: array<Elem, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    sum[g] = Elem(0.0);
  }
  var begin = u32(offsets[min(first, params.lists)]);
  for (var n = first; n < end; n++) {
    let next = u32(offsets[n + 1u]);
    if (begin + place <= next) {
      let at = (begin + n + place) * columns + column;
      for (var g = 0u; g < GROUPS; g++) { // @unroll
        sum[g] += dY[at + g];
      }
    }
    begin = next;
  }
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    sums[part * columns + column + g] = sum[g];
  }
  if (place == 0u) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      firsts[slice * columns + column + g] = sum[g];
    }
  }
}
