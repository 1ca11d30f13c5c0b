"""The language model: the chat-model seam, its calls, its replies, and untrusted text.

Light on import: the modules that need langchain are loaded where a model is opened.
"""
