// @ts-check
/** Vitest's global set-up: threads, children and whole processes run from dist/, so that it must be what src/ says. */
import { build, isFresh } from './build.mjs';

export function setup() {
  if (isFresh()) return;
  if (!build({ isUnchecked: true })) throw new Error('src/ could not be built: npm run build');
}
