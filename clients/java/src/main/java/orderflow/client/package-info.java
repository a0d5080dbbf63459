/**
 * A client of OrderFlow: the stubs that are generated from the contract, on a channel that knows how to sign in, how long to wait,
 * and how to place an order exactly once.
 *
 * <p>{@link orderflow.client.OrderFlow} is where to begin.
 */
package orderflow.client;
