// Random words, uniform numbers or normal numbers: Philox4x32-10 (Salmon, Moraes, Dror and Shaw,
// 2011), word for word what rng.ts makes on the host; the layout is described there.
//
// output: u32 or f32 bits [size]; element i comes from position `offset + i` of the stream.
// KIND 0: the word; 1: (word >> 8) * 2^-24, exact; 2: Box and Muller from the pair of words that the
// position lies in, in f32: within rounding of the host's float64, not to the bit.
//
// Grid: (y, x) fold blocks of 4 positions, one for each invocation; the first may begin before
// `offset`. The block index has 64 bits, as two words with a carry.

override WORKGROUP: u32 = 64u;
override KIND: u32 = 0u;

struct Params {
  size: u32,        // elements of output
  skip: u32,        // positions of the first block that lie before offset, 0 to 3
  block_low: u32,   // index of the first block
  block_high: u32,
  seed_low: u32,
  seed_high: u32,
  stream: u32,
}

@group(0) @binding(0) var<storage, read_write> output: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

const MULTIPLIER_0: u32 = 0xd2511f53u;
const MULTIPLIER_1: u32 = 0xcd9e8d57u;
const WEYL_0: u32 = 0x9e3779b9u;
const WEYL_1: u32 = 0xbb67ae85u;
const TWO_PI: f32 = 6.2831855;
const TWO_POW_MINUS_24: f32 = 5.9604645e-8;

// High 32 bits of the 64-bit product, by 16-bit halves: WGSL has no wide product.
fn multiply_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}

fn philox(block: vec2<u32>) -> vec4<u32> {
  var counter = vec4<u32>(block, params.stream, 0u);
  var key = vec2<u32>(params.seed_low, params.seed_high);
  for (var round = 0u; round < 10u; round++) {
    let high_0 = multiply_high(MULTIPLIER_0, counter.x);
    let high_1 = multiply_high(MULTIPLIER_1, counter.z);
    counter = vec4<u32>(
      high_1 ^ counter.y ^ key.x,
      MULTIPLIER_1 * counter.z,
      high_0 ^ counter.w ^ key.y,
      MULTIPLIER_0 * counter.x,
    );
    key += vec2<u32>(WEYL_0, WEYL_1);
  }
  return counter;
}

fn uniforms(words: vec4<u32>) -> vec4<f32> {
  return vec4<f32>(words >> vec4<u32>(8u)) * TWO_POW_MINUS_24;
}

// -ln(1 - t). WGSL promises log() only to 2^-21 absolute near 1, where the square root of the error
// would show, so small t take the series; its next term is below 2^-26 of the sum.
fn minus_log_of_rest(t: f32) -> f32 {
  let series = t *
    fma(t, fma(t, fma(t, fma(t, fma(t, 1.0 / 6.0, 0.2), 0.25), 1.0 / 3.0), 0.5), 1.0);
  return select(-log(1.0 - t), series, t < 0.0625);
}

// Cosine and sine of turn * 2 pi, for turns from 0 to 1. WGSL promises its own only to 2^-11, and
// some drivers take it at its word. The turn less its nearest quarter is exact in f32, so Taylor's
// series run from -pi/4 to pi/4, where what they leave out is below 2^-25.
fn cosine_and_sine(turn: f32) -> vec2<f32> {
  let quarter = round(turn * 4.0);
  let x = (turn - quarter * 0.25) * TWO_PI;
  let q = x * x;
  let sine = x *
    fma(q, fma(q, fma(q, fma(q, 1.0 / 362880.0, -1.0 / 5040.0), 1.0 / 120.0), -1.0 / 6.0), 1.0);
  let cosine =
    fma(q, fma(q, fma(q, fma(q, 1.0 / 40320.0, -1.0 / 720.0), 1.0 / 24.0), -0.5), 1.0);
  switch u32(quarter) & 3u {
    case 0u: { return vec2<f32>(cosine, sine); }
    case 1u: { return vec2<f32>(-sine, cosine); }
    case 2u: { return vec2<f32>(-cosine, -sine); }
    default: { return vec2<f32>(sine, -cosine); }
  }
}

fn normals(words: vec4<u32>) -> vec4<f32> {
  // 1 - u with u = ((word >> 8) + 1) * 2^-24, exact.
  let t = vec2<f32>(vec2<u32>(0xffffffu) - (words.xz >> vec2<u32>(8u))) * TWO_POW_MINUS_24;
  let radius = sqrt(2.0 * vec2<f32>(minus_log_of_rest(t.x), minus_log_of_rest(t.y)));
  let turn = uniforms(words).yw;
  let first = radius.x * cosine_and_sine(turn.x);
  let second = radius.y * cosine_and_sine(turn.y);
  return vec4<f32>(first, second);
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + lane;
  let low = params.block_low + item;
  let high = params.block_high + select(0u, 1u, low < item);
  var words = philox(vec2<u32>(low, high));
  if (KIND == 1u) {
    words = bitcast<vec4<u32>>(uniforms(words));
  } else if (KIND == 2u) {
    words = bitcast<vec4<u32>>(normals(words));
  }
  for (var i = 0u; i < 4u; i++) {
    let position = item * 4u + i;
    if (position >= params.skip && position - params.skip < params.size) {
      output[position - params.skip] = words[i];
    }
  }
}
