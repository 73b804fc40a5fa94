// Means of the rows of ragged lists, or the shares of their parts.
//
//   y[p, n, c] = sum over the rows r of part p of list n of x[r, c] / number of rows of list n
//
// An empty list gives 0. A list is cut into `parts` parts of equal length, the first ones a row longer
// where that does not go up; the parts of a list add up to its mean.
//
// Shapes: x: Elem[rows, columns], row-major; offsets: i32[lists + 1]; y: Elem[parts, lists, columns].
// Dispatch: gridFor(parts lists columns / GROUPS, COLUMNS); the grid folds x into y. An invocation has
// GROUPS elements of y, COLUMNS apart, so that a workgroup runs along its rows: on a software adapter
// whole rows take 40 % of the time of a 16th of each. columns is a multiple of GROUPS COLUMNS, or GROUPS
// is 1. LANES invocations share them, each every LANES-th row: 1 is the
// serial variant, more the tree variant.
// Numerics: f32, a lane's rows in order. Loop turns of an invocation: about length / (ROWS parts LANES).

override COLUMNS: u32 = 8u;

alias Elem = vec4<f32>; // @spec
const GROUPS: u32 = 1u; // @spec
const ROWS: u32 = 4u; // @spec
// A power of two. Marked, so that one lane leaves no workgroup memory behind to be cleared.
const LANES: u32 = 1u; // @spec

struct Params {
  lists: u32,
  columns: u32, // in units of Elem
  parts: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sums: array<Elem, COLUMNS * LANES>;

@compute @workgroup_size(COLUMNS, LANES)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_id) local: vec3<u32>,
) {
  let item = (wid.y * grid.x + wid.x) * COLUMNS + local.x;
  let width = params.columns / GROUPS;
  let inside = item < params.parts * params.lists * width;
  let part_list = select(0u, item / width, inside);
  let place = select(0u, item - part_list * width, inside);
  let apart = select(COLUMNS, 1u, GROUPS == 1u);
  let column = place / apart * apart * GROUPS + place % apart;
  let part = part_list / params.lists;
  let list = part_list - part * params.lists;
  let first = u32(offsets[list]);
  let length = u32(offsets[list + 1u]) - first;
  let share = length / params.parts;
  let more = length - share * params.parts;
  let begin = first + part * share + min(part, more);
  let end = begin + share + select(0u, 1u, part < more);
  var sum: array<Elem, GROUPS>;
  var r = begin + local.y;
  for (; r + (ROWS - 1u) * LANES < end; r += ROWS * LANES) {
    for (var k = 0u; k < ROWS; k++) { // @unroll
      for (var g = 0u; g < GROUPS; g++) { // @unroll
        sum[g] += x[(r + k * LANES) * params.columns + column + g * apart];
      }
    }
  }
  for (; r < end; r += LANES) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      sum[g] += x[r * params.columns + column + g * apart];
    }
  }
  if (LANES > 1u) { // @static
    let at = local.y * COLUMNS + local.x;
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      shared_sums[at] = sum[g];
      for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
        workgroupBarrier();
        if (local.y < stride) {
          sum[g] += shared_sums[at + stride * COLUMNS];
          shared_sums[at] = sum[g];
        }
      }
      workgroupBarrier();
    }
  }
  if (inside && local.y == 0u) {
    let start = part_list * params.columns + column;
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      y[start + g * apart] = sum[g] / f32(max(1u, length));
    }
  }
}
