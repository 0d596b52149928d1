// Stands in for libnvinfer_plugin.so.8 where it cannot be loaded: the parser of TensorRT 8.6 is linked with this one
// function of it. No plugin is registered, so a model that needs one is refused by name.
extern "C" __attribute__((visibility("default"))) bool initLibNvInferPlugins(void*, const char*) { return true; }
