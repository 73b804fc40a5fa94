// The baseline's softmax: turns the scores of each row and head into weights, in place.
//
//   logSumExp[row, head] = log sum_j exp(s[row, head, j])
//   s[row, head, j] = kept exp(s[row, head, j] - logSumExp[row, head])
//
// `kept` is 0 or `keep_factor` by the uniform number at position (row heads + head) stride + j of a
// stream of Philox4x32-10, as dropout.wgsl has it, where DROP is 1, else 1. A row whose list has no
// key, and a padding row, get a logSumExp of 0.
//
// Shapes: offsets, key_offsets: i32[lists + 1], ascending; s: f32[rows, heads, stride];
//   logSumExp: f32[rows, heads]. Row-major.
// Dispatch: gridFor(rows * heads, 64); the grid folds x into y.
// Numerics: f32, shifted by the largest score.

const DROP: u32 = 1u; // @spec

const LOWEST: f32 = -3.4028234e38;

struct Params {
  lists: u32,
  rows: u32,
  heads: u32,
  stride: u32,
  seed_low: u32,
  seed_high: u32,
  stream: u32,
  rate: f32,
  keep_factor: f32,
}

@group(0) @binding(0) var<storage, read> offsets: array<i32>;
@group(0) @binding(1) var<storage, read> key_offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> s: array<f32>;
@group(0) @binding(3) var<storage, read_write> log_sum_exp: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const MULTIPLIER_0: u32 = 0xd2511f53u;
const MULTIPLIER_1: u32 = 0xcd9e8d57u;
const WEYL_0: u32 = 0x9e3779b9u;
const WEYL_1: u32 = 0xbb67ae85u;
const ROUNDS: u32 = 10u;
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

// Four uniform numbers of a block.
fn uniforms(block: u32) -> vec4<f32> {
  var counter = vec4<u32>(block, 0u, params.stream, 0u);
  var key = vec2<u32>(params.seed_low, params.seed_high);
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
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
  return vec4<f32>(counter >> vec4<u32>(8u)) * TWO_POW_MINUS_24;
}

// The list that a row below offsets[lists] belongs to.
fn list_of(row: u32) -> u32 {
  var low = 0u;
  var high = params.lists;
  while (high - low > 1u) {
    let middle = (low + high) / 2u;
    if (u32(offsets[middle]) <= row) {
      low = middle;
    } else {
      high = middle;
    }
  }
  return low;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let index = (wid.y * grid.x + wid.x) * 64u + lane;
  let row = index / params.heads;
  if (row >= params.rows) {
    return;
  }
  var keys = 0u;
  if (row < u32(offsets[params.lists])) {
    let list = list_of(row);
    keys = min(u32(key_offsets[list + 1u]) - u32(key_offsets[list]), params.stride);
  }
  let start = index * params.stride;
  var top = LOWEST;
  for (var j = 0u; j < keys; j++) {
    top = max(top, s[start + j]);
  }
  var mass = 0.0;
  for (var j = 0u; j < keys; j++) {
    mass += exp(s[start + j] - top);
  }
  for (var j = 0u; j < keys; j++) {
    var weight = exp(s[start + j] - top) / mass;
    if (DROP == 1u) { // @static
      let kept = uniforms((start + j) >> 2u)[j & 3u] >= params.rate;
      weight = select(0.0, params.keep_factor * weight, kept);
    }
    s[start + j] = weight;
  }
  log_sum_exp[index] = select(0.0, top + log(mass), keys > 0u);
}
