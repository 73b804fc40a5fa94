// The gradient of rows that were looked up, for those of the table that were.
//
//   dTable[r] += sum of dY[n] over n = begin, begin + 1, …, end - 1 with index[n] = r
//
// Shapes: dY: Elem[samples, columns], row-major; index: i32[samples]; links: vec2<i32>[end - begin],
// what _row_links.wgsl found in these samples; dTable: Elem[rows, columns].
// Dispatch: gridFor((end - begin) columns / GROUPS, WORKGROUP), GROUPS neighbouring elements for an
// invocation; the grid folds x into y. Only the invocations of the first sample of a row go on, and
// add all samples of that row: nobody else writes to it, so nothing is atomic and the order is that of
// the samples.
// Numerics: f32.
//
// 1. naive: lookup_rows_gradient_naive.wgsl, every row looks at every sample. 2. this, behind
// lookup_rows_clear.wgsl. Figures in docs/kernels/training.md.

override WORKGROUP: u32 = 8u;

alias Elem = vec4<f32>; // @spec
const GROUPS: u32 = 4u; // @spec elements of an invocation, a divisor of columns

struct Params {
  begin: u32, // first sample
  end: u32, // sample behind the last one
  columns: u32, // in units of Elem
}

@group(0) @binding(0) var<storage, read> dY: array<Elem>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read> links: array<vec2<i32>>;
@group(0) @binding(3) var<storage, read_write> dTable: array<Elem>;
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
  let first = item / lanes;
  if (first >= params.end - params.begin || links[first].x == 0) {
    return;
  }
  let column = (item - first * lanes) * GROUPS;
  let place = u32(index[params.begin + first]) * columns + column;
  var sum: array<Elem, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    sum[g] = dTable[place + g];
  }
  for (var n = i32(first); n >= 0; n = links[n].y) {
    let at = (params.begin + u32(n)) * columns + column;
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      sum[g] += dY[at + g];
    }
  }
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    dTable[place + g] = sum[g];
  }
}
