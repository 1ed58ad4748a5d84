/** Draws a part again only when something of what it is given is another. */
import { Component, createElement, type ComponentType, type FunctionComponent } from 'preact';

export function memo<P extends object>(part: FunctionComponent<P>): ComponentType<P> {
  return class Remembered extends Component<P> {
    override shouldComponentUpdate(next: Readonly<P>): boolean {
      const before = this.props as Record<string, unknown>;
      const after = next as Record<string, unknown>;
      return Object.keys(after).some((key) => after[key] !== before[key]);
    }
    override render() {
      return createElement(part as FunctionComponent<object>, this.props);
    }
  };
}
