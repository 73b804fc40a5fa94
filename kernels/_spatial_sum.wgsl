// Sums of maps over their positions, channel by channel; also the columns of a matrix.
//
//   y[n, s, c] = factor * sum over the rows r of slice s of t(n, r, c)
//   MODE 0: t = a[n, r, c]
//   MODE 1: t = a[n, r, c] b[n, r, c]
//   MODE 2: t = a[n, r, c] ((b[n, r, c] - origin[n, r]) - mean[n, r]) scale[n, r], all from stats
//
// Shapes: a, b: Elem[N, rows, channels]; stats: vec4<f32>[N, rows]; y: Elem[N, slices, channels]. What
// a mode does not name is not read.
// Dispatch: gridFor(items, 64), items = N slices channels; the grid folds x into y.
// Numerics: f32, four sums per invocation, rows dealt out to them in turn. A second run over y as
// N maps of `slices` rows finishes the sum.

alias Elem = vec4<f32>; // @spec
const MODE: u32 = 0u; // @spec

struct Params {
  items: u32,
  channels: u32, // in units of Elem
  rows: u32,
  slices: u32,
  slice_rows: u32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> a: array<Elem>;
@group(0) @binding(1) var<storage, read> b: array<Elem>;
@group(0) @binding(2) var<storage, read> stats: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// The term of row `row`, counted over all maps, at channel c.
fn term(row: u32, c: u32) -> Elem {
  let i = row * params.channels + c;
  if (MODE == 1u) { // @static
    return a[i] * b[i];
  }
  if (MODE == 2u) { // @static
    let s = stats[row];
    return a[i] * (((b[i] - s.x) - s.y) * s.z);
  }
  return a[i];
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item >= params.items) {
    return;
  }
  let c = item % params.channels;
  let slice = item / params.channels;
  let first = slice % params.slices * params.slice_rows;
  let map_begin = slice / params.slices * params.rows;
  let end = map_begin + min(first + params.slice_rows, params.rows);
  var row = map_begin + first;
  var s0 = Elem(0.0);
  var s1 = Elem(0.0);
  var s2 = Elem(0.0);
  var s3 = Elem(0.0);
  for (; row + 3u < end; row += 4u) {
    s0 += term(row, c);
    s1 += term(row + 1u, c);
    s2 += term(row + 2u, c);
    s3 += term(row + 3u, c);
  }
  for (; row < end; row++) {
    s0 += term(row, c);
  }
  y[item] = ((s0 + s1) + (s2 + s3)) * params.factor;
}
