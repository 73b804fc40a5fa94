/**
 * Max-pooling, average-pooling and global average pooling of maps with channels last, and their
 * gradients.
 *
 * @module
 */

export * from "./_global.ts";
export * from "./_windows.ts";
