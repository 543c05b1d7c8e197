/** Set by a flag, which threads inherit, or by a call, which they do not. */
export function sourceMapsEnabled(): boolean {
  return (process as { sourceMapsEnabled?: boolean }).sourceMapsEnabled === true;
}
