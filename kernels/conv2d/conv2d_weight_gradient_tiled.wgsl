// Gradient of a convolution's weight with tiles in workgroup memory, for GPUs.
//
//   dw[s, o, ky, kx, c] = sum over the output pixels (n, oy, ox) of slice s of dy[n, oy, ox, o] *
//     x[n, oy * stride - top + ky * dilation, ox * stride - left + kx * dilation, g * C + c],
//     g = o / outputs per group; outside the image x is 0
//
// Shapes: x: vec4<f32>[N, H, W, groups * quads], C = 4 * quads; dy: vec4<f32>[N, OH, OW, O / 4];
//   dw: vec4<f32>[slices, O, KH, KW, quads]. Row-major; O of a group is a multiple of 4.
// Bindings: x, dy, dw.
// Dispatch: gridFor(tiles, 1), folded from x into y; tiles = slices * groups * row tiles * column
//   tiles of the product whose rows are outputs and whose columns are (ky, kx, c). A workgroup of
//   TX * TY invocations does 4*RM*TY rows and 4*RN*TX columns.
// Accumulates in f32, in the order of the pixels. conv2d_add_slices.wgsl adds the slices.
//
// A step takes 4*KQ pixels. Both operands lie along rows and columns as the inner loop reads them, so
// each vec4 goes to workgroup memory as it comes. The column of an invocation's fetches is the same
// in every step (COLUMN_GROUPS divides THREADS or is divided by it), so its tap is found once.

const TX: u32 = 16u; // @spec invocations along the columns
const TY: u32 = 16u; // @spec invocations along the rows
const RM: u32 = 1u; // @spec groups of 4 rows per invocation
const RN: u32 = 1u; // @spec groups of 4 columns per invocation
const KQ: u32 = 4u; // @spec groups of 4 pixels per step

const THREADS: u32 = TX * TY;
const ROW_GROUPS: u32 = TY * RM;
const COLUMN_GROUPS: u32 = TX * RN;
const A_STRIDE: u32 = ROW_GROUPS + 1u;
const B_STRIDE: u32 = COLUMN_GROUPS + 1u;

struct Params {
  height: u32,
  width: u32,
  pixel_quads: u32, // vec4 elements of a pixel of x
  quads: u32, // vec4 elements of a group of x
  out_height: u32,
  out_width: u32,
  output_quads: u32, // vec4 elements of a pixel of dy
  group_quads: u32, // vec4 elements of a group of dy
  kernel_height: u32,
  kernel_width: u32,
  stride_y: u32,
  stride_x: u32,
  top: u32,
  left: u32,
  dilation_y: u32,
  dilation_x: u32,
  pixels: u32, // of all images
  slice_pixels: u32,
  groups: u32,
  row_tiles: u32,
  column_tiles: u32,
  tiles: u32,
}

@group(0) @binding(0) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> dy: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dw: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> a_tile: array<vec4<f32>, 4u * KQ * A_STRIDE>;
var<workgroup> b_tile: array<vec4<f32>, 4u * KQ * B_STRIDE>;

@compute @workgroup_size(THREADS)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  // A folded grid has workgroups beyond the last tile: they compute the last one again and store
  // nothing, so that every invocation reaches every barrier.
  let index = wid.y * grid.x + wid.x;
  let tile = min(index, params.tiles - 1u);
  let column_tile = tile % params.column_tiles;
  let row_tile = tile / params.column_tiles % params.row_tiles;
  let group = tile / (params.column_tiles * params.row_tiles) % params.groups;
  let slice = tile / (params.column_tiles * params.row_tiles * params.groups);
  let first_row = row_tile * ROW_GROUPS;
  let first_column = column_tile * COLUMN_GROUPS;
  let tx = lane % TX;
  let ty = lane / TX;
  let columns = params.kernel_height * params.kernel_width * params.quads;
  let begin = slice * params.slice_pixels;
  let end = min(params.pixels, begin + params.slice_pixels);

  let fetch_column = first_column + lane % COLUMN_GROUPS;
  let quad = fetch_column % params.quads;
  let tap = fetch_column / params.quads;
  // Rows and columns above or left of the image wrap around to large numbers.
  let tap_y = tap / params.kernel_width * params.dilation_y - params.top;
  let tap_x = tap % params.kernel_width * params.dilation_x - params.left;
  let fetch_row = first_row + lane % ROW_GROUPS;

  var sum: array<vec4<f32>, 4u * RM * RN>;
  for (var step = begin; step < end; step += KQ * 4u) {
    for (var block = lane; block < ROW_GROUPS * KQ * 4u; block += THREADS) {
      let k = block / ROW_GROUPS;
      let pixel = step + k;
      var value = vec4<f32>();
      if (pixel < end && fetch_row < params.group_quads) {
        value = dy[pixel * params.output_quads + group * params.group_quads + fetch_row];
      }
      a_tile[k * A_STRIDE + block % ROW_GROUPS] = value;
    }
    for (var block = lane; block < COLUMN_GROUPS * KQ * 4u; block += THREADS) {
      let k = block / COLUMN_GROUPS;
      let pixel = step + k;
      let row = pixel / params.out_width;
      let iy = row % params.out_height * params.stride_y + tap_y;
      let ix = pixel % params.out_width * params.stride_x + tap_x;
      var value = vec4<f32>();
      if (pixel < end && fetch_column < columns && iy < params.height && ix < params.width) {
        let image_row = row / params.out_height * params.height + iy;
        value = x[(image_row * params.width + ix) * params.pixel_quads + group * params.quads + quad];
      }
      b_tile[k * B_STRIDE + block % COLUMN_GROUPS] = value;
    }
    workgroupBarrier();
    for (var k = 0u; k < KQ * 4u; k += 4u) {
      for (var e = 0u; e < 4u; e++) { // @unroll
        var b: array<vec4<f32>, RN>;
        for (var j = 0u; j < RN; j++) { // @unroll
          b[j] = b_tile[(k + e) * B_STRIDE + j * TX + tx];
        }
        for (var i = 0u; i < RM; i++) { // @unroll
          let a = a_tile[(k + e) * A_STRIDE + i * TY + ty];
          for (var j = 0u; j < RN; j++) { // @unroll
            sum[(i * 4u + 0u) * RN + j] = fma(vec4<f32>(a.x), b[j], sum[(i * 4u + 0u) * RN + j]);
            sum[(i * 4u + 1u) * RN + j] = fma(vec4<f32>(a.y), b[j], sum[(i * 4u + 1u) * RN + j]);
            sum[(i * 4u + 2u) * RN + j] = fma(vec4<f32>(a.z), b[j], sum[(i * 4u + 2u) * RN + j]);
            sum[(i * 4u + 3u) * RN + j] = fma(vec4<f32>(a.w), b[j], sum[(i * 4u + 3u) * RN + j]);
          }
        }
      }
    }
    // The next step overwrites what this one reads.
    workgroupBarrier();
  }

  for (var i = 0u; i < RM; i++) { // @unroll
    let row = first_row + i * TY + ty;
    for (var j = 0u; j < RN; j++) { // @unroll
      let column = first_column + j * TX + tx;
      if (index < params.tiles && row < params.group_quads && column < columns) {
        for (var r = 0u; r < 4u; r++) { // @unroll
          let output = (slice * params.output_quads + group * params.group_quads + row) * 4u + r;
          dw[output * columns + column] = sum[(i * 4u + r) * RN + j];
        }
      }
    }
  }
}
