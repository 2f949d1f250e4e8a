/* Stands in for TensorRT's libraries, so that its Python bindings can be imported without them.
 *
 * The bindings link to these functions only; all else is reached through objects that these
 * return. They return none, so that nothing can be built: classes, enums and signatures are there
 * to be looked at. One file is compiled for all libraries that a binding names.
 */
#include <stddef.h>

void* createInferBuilder_INTERNAL(void* logger, int version) { (void)logger; (void)version; return NULL; }
void* createInferRuntime_INTERNAL(void* logger, int version) { (void)logger; (void)version; return NULL; }
void* createInferRefitter_INTERNAL(void* engine, void* logger, int version)
{ (void)engine; (void)logger; (void)version; return NULL; }
void* createNvOnnxParser_INTERNAL(void* network, void* logger, int version)
{ (void)network; (void)logger; (void)version; return NULL; }
void* createNvOnnxParserRefitter_INTERNAL(void* refitter, void* logger, int version)
{ (void)refitter; (void)logger; (void)version; return NULL; }
void* getPluginRegistry(void) { return NULL; }
void* getBuilderPluginRegistry(int capability) { (void)capability; return NULL; }
int getNvOnnxParserVersion(void) { return 0; }
_Bool initLibNvInferPlugins(void* logger, char const* library) { (void)logger; (void)library; return 0; }
