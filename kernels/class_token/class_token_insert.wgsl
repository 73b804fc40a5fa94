// Puts a row of its own before each list of ragged rows, and adds a row for the place in the list.
//
//   y[offsets[n] + n] = token + positions[0]
//   y[offsets[n] + n + i + 1] = x[offsets[n] + i] + positions[i + 1] for all rows i of list n
//   shifted[n] = offsets[n] + n
//
// Rows of y behind the last list are zeros; a place beyond the last position adds nothing.
//
// Shapes: x: Elem[rows - lists, columns], row-major; token: Elem[columns];
// positions: Elem[positions, columns]; offsets, shifted: i32[lists + 1]; y: Elem[rows, columns].
// Dispatch: gridFor(workers columns / GROUPS, WORKGROUP); the grid folds x into y. A worker, which is
// so many invocations as cover a row, writes every shares-th row of a list and every workers-th row of
// the padding; an invocation owns GROUPS neighbouring elements.
// Numerics: one f32 sum.

override WORKGROUP: u32 = 8u;

alias Elem = vec4<f32>; // @spec
const GROUPS: u32 = 4u; // @spec elements of an invocation, a divisor of columns

struct Params {
  rows: u32, // of y
  columns: u32, // in units of Elem
  lists: u32,
  shares: u32, // workers of a list
  workers: u32, // max(1, lists) * shares
  positions: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> token: array<Elem>;
@group(0) @binding(2) var<storage, read> positions: array<Elem>;
@group(0) @binding(3) var<storage, read> offsets: array<i32>;
@group(0) @binding(4) var<storage, read_write> y: array<Elem>;
@group(0) @binding(5) var<storage, read_write> shifted: array<i32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  let columns = params.columns;
  let lanes = columns / GROUPS;
  let worker = item / lanes;
  if (worker >= params.workers) {
    return;
  }
  let column = (item - worker * lanes) * GROUPS;
  let list = worker / params.shares;
  let share = worker - list * params.shares;
  let end = u32(offsets[params.lists]) + params.lists;
  if (item == 0u) {
    shifted[params.lists] = i32(end);
  }
  if (list < params.lists) {
    let begin = u32(offsets[list]) + list;
    let length = u32(offsets[list + 1u]) + list + 1u - begin;
    if (share == 0u && column == 0u) {
      shifted[list] = i32(begin);
    }
    for (var place = share; place < length; place += params.shares) {
      let to = (begin + place) * columns + column;
      let at = to - (list + 1u) * columns;
      let added = place * columns + column;
      for (var g = 0u; g < GROUPS; g++) { // @unroll
        var sum = Elem(0.0);
        if (place == 0u) {
          sum = token[column + g];
        } else {
          sum = x[at + g];
        }
        if (place < params.positions) {
          sum += positions[added + g];
        }
        y[to + g] = sum;
      }
    }
  }
  for (var row = end + worker; row < params.rows; row += params.workers) {
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      y[row * columns + column + g] = Elem(0.0);
    }
  }
}
